#include "runtime/device/cuda/cuda_plain_memory.h"

#include "runtime/device/cuda/current.h"

namespace rhz::cuda {

Result<PlainBlock> CudaPlainMemory::share(const std::byte* at) {
  const auto context = contexts_.of(at);
  if (!context) return context.status();
  Current current(driver_, context.value());
  if (!current.status()) return current.status();
  auto shared = cuda::share(driver_, at);
  if (!shared) return Status(Code::kArgument, shared.status().text());
  PlainBlock block;
  block.bytes = shared.value().bytes;
  block.shared = shared.value().allocation;
  block.begin = const_cast<std::byte*>(at) - std::exchange(block.shared.offset, 0);
  return block;
}

Result<std::byte*> CudaPlainMemory::allocate(uint64_t bytes, const DeviceId& device) {
  const auto context = contexts_.primary_by(device);
  if (!context) return context.status();
  Current current(driver_, context.value());
  if (!current.status()) return current.status();
  Address begin = 0;
  const Error error = driver_.allocate(&begin, bytes);
  const Status status = driver_.check(error, "cuMemAlloc");
  if (!status) return error == kOutOfMemory ? Status(Code::kMemory, status.text()) : status;
  return pointer_to(begin);
}

void CudaPlainMemory::free(std::byte* begin) {
  const auto context = contexts_.of(begin);
  if (!context) return;
  (void)in_context(driver_, context.value(), "cuMemFree",
                   [&] { return driver_.free(address_of(begin)); });
}

Result<MutableBytes> CudaPlainMemory::open(const SharedAllocation& allocation) {
  Status status = driver_.check(driver_.initialise(0), "cuInit");
  if (!status) return status;
  const auto context = contexts_.primary_by(allocation.device);
  if (!context) return context.status();
  const auto begin = opened_.open(context.value(), allocation);
  if (!begin) return begin.status();
  Address base = 0;
  size_t bytes = 0;
  status = in_context(driver_, context.value(), "cuMemGetAddressRange", [&] {
    return driver_.get_address_range(&base, &bytes, address_of(begin.value()));
  });
  if (status) return MutableBytes(begin.value(), bytes - (address_of(begin.value()) - base));
  opened_.close(context.value(), allocation);
  return status;
}

void CudaPlainMemory::close(const SharedAllocation& allocation) {
  const auto context = contexts_.primary_by(allocation.device);
  if (context) opened_.close(context.value(), allocation);
}

Status CudaPlainMemory::copy(const DeviceId& device, std::byte* to, const std::byte* from,
                             uint64_t bytes) {
  const auto context = contexts_.primary_by(device);
  if (!context) return context.status();
  return in_context(driver_, context.value(), "a copy on the device", [&] {
    const Error error = driver_.copy_on_device(address_of(to), address_of(from), bytes, nullptr);
    return error != kSuccess ? error : driver_.context_synchronize();
  });
}

}  // namespace rhz::cuda
