#include "runtime/device/cuda/cuda_state_memory.h"

#include "runtime/device/cuda/cuda_lane.h"
#include "runtime/device/cuda/current.h"

#ifdef RHZ_HAS_KERNELS
extern "C" const unsigned char rhz_block_digests_fatbin[];
#endif

namespace rhz::cuda {
namespace {

#ifdef RHZ_HAS_KERNELS
const void* image() { return rhz_block_digests_fatbin; }
#else
const void* image() { return nullptr; }
#endif

}  // namespace

Result<std::byte*> CudaStateMemory::map(Allocation allocation, uint64_t bytes, int ordinal) {
  Address begin = 0;
  Status status = driver_.check(driver_.reserve(&begin, bytes, 0, 0, 0), "cuMemAddressReserve");
  if (status) {
    status = driver_.check(driver_.map(begin, bytes, 0, allocation, 0), "cuMemMap");
    if (status) {
      Access access;
      access.location.id = ordinal;
      status = driver_.check(driver_.set_access(begin, bytes, &access, 1), "cuMemSetAccess");
      if (!status) (void)driver_.unmap(begin, bytes);
    }
    if (!status) (void)driver_.unreserve(begin, bytes);
  }
  (void)driver_.release(allocation);  // the mapping keeps it
  if (!status) return status;
  return pointer_to(begin);
}

Result<DeviceBlock> CudaStateMemory::allocate(uint64_t bytes) {
  Context context = nullptr;
  AllocationKind kind;
  if (driver_.context_get_current(&context) != kSuccess || !context ||
      driver_.context_get_device(&kind.location.id) != kSuccess)
    return Status(Code::kState,
                  "the thread has no CUDA context: choose the device first (cudaSetDevice)");
  DeviceBlock block;
  size_t granularity = 0;
  Status status = driver_.check(driver_.get_granularity(&granularity, &kind, kLeastGranularity),
                                "cuMemGetAllocationGranularity");
  if (status)
    status = driver_.check(driver_.device_get_uuid(block.device.data(), kind.location.id),
                           "cuDeviceGetUuid");
  if (!status) return status;
  if (bytes > UINT64_MAX - granularity)
    return Status(Code::kMemory, "no device has so much memory");
  block.bytes = (bytes + granularity - 1) / granularity * granularity;
  Allocation allocation = 0;
  const Error created = driver_.create(&allocation, block.bytes, &kind, 0);
  status = driver_.check(created, "cuMemCreate");
  if (created == kOutOfMemory) return Status(Code::kMemory, status.text());
  if (!status) return status;
  int fd = -1;
  status = driver_.check(driver_.export_handle(&fd, allocation, kFileDescriptor, 0),
                         "cuMemExportToShareableHandle");
  if (!status) {
    (void)driver_.release(allocation);
    return status;
  }
  block.fd = Fd(fd);
  auto begin = map(allocation, block.bytes, kind.location.id);
  if (!begin) return begin.status();
  block.begin = begin.value();
  status = driver_.check(driver_.fill(address_of(block.begin), 0, block.bytes), "cuMemsetD8");
  if (status) status = driver_.check(driver_.context_synchronize(), "cuCtxSynchronize");
  if (!status) {
    free(block);
    return status;
  }
  return block;
}

Result<DeviceBlock> CudaStateMemory::adopt(Fd fd, uint64_t bytes, const DeviceId& id) {
  const auto device = contexts_.device_by(id);
  if (!device) return device.status();
  const auto context = contexts_.primary_of(device.value());
  if (!context) return context.status();
  Current current(driver_, context.value());
  if (!current.status()) return current.status();
  Allocation allocation = 0;
  Status status = driver_.check(
      driver_.import_handle(&allocation, reinterpret_cast<void*>(static_cast<intptr_t>(fd.get())),
                            kFileDescriptor),
      "cuMemImportFromShareableHandle");
  if (!status) return Status(Code::kCorrupt, status.text());
  auto begin = map(allocation, bytes, device.value());
  if (!begin) return Status(Code::kCorrupt, begin.status().text());
  return DeviceBlock{begin.value(), bytes, id, std::move(fd)};
}

// Of a context that is gone, so are its mappings.
void CudaStateMemory::free(DeviceBlock& block) {
  (void)settle(block.begin);
  (void)driver_.unmap(address_of(block.begin), block.bytes);
  (void)driver_.unreserve(address_of(block.begin), block.bytes);
  block = DeviceBlock();
}

const void* CudaStateMemory::place_of(const std::byte* at) {
  const auto context = contexts_.of(at);
  return context ? context.value() : nullptr;
}

// Of the thread's own context too, where the program has made others beside the primary one.
Status CudaStateMemory::settle(const std::byte* at) {
  const auto context = contexts_.of(at);
  if (!context) return context.status();
  const auto synchronise = [&] { return driver_.context_synchronize(); };
  Status status = in_context(driver_, context.value(), "cuCtxSynchronize", synchronise);
  Context own = nullptr;
  if (status && driver_.context_get_current(&own) == kSuccess && own && own != context.value())
    status = driver_.check(synchronise(), "cuCtxSynchronize");
  return status;
}

Status CudaStateMemory::pin(const void* place, MutableBytes host) {
  return in_context(driver_, const_cast<Context>(place), "cuMemHostRegister", [&] {
    return driver_.host_register(host.data(), host.size(), kHostRegisterPortable);
  });
}

void CudaStateMemory::unpin(const void* place, std::byte* host) {
  (void)in_context(driver_, const_cast<Context>(place), "cuMemHostUnregister",
                   [&] { return driver_.host_unregister(host); });
}

// The first run of a kernel loads it, and waits for all that is queued on the device: it is made
// with the first lane, when a tensor is registered, and no op runs yet.
Result<Function> CudaStateMemory::digests_in(Context context) {
  std::lock_guard lock(mutex_);
  if (const auto known = digests_.find(context); known != digests_.end()) return known->second;
  Function& function = digests_[context];
  if (!image()) return function;
  Module module = nullptr;
  Status status = in_context(driver_, context, "cuModuleLoadData",
                             [&] { return driver_.module_load(&module, image()); });
  if (status)
    status = in_context(driver_, context, "cuModuleGetFunction", [&] {
      return driver_.module_get_function(&function, module, "rhz_block_digests");
    });
  if (!status) digests_.erase(context);
  if (!status) return status;
  return function;
}

Result<std::unique_ptr<StateMemory::Lane>> CudaStateMemory::lane(const std::byte* at) {
  const auto context = contexts_.of(at);
  if (!context) return context.status();
  const auto function = digests_in(context.value());
  if (!function) return function.status();
  LaneParts parts;
  {
    std::lock_guard lock(mutex_);
    auto& idle = idle_[context.value()];
    if (!idle.empty()) {
      parts = idle.back();
      idle.pop_back();
    }
  }
  if (!parts.stream) {
    auto made = make_lane_parts(driver_, context.value(), function.value());
    if (!made) return made.status();
    parts = made.value();
  }
  return std::unique_ptr<Lane>(
      std::make_unique<CudaLane>(*this, context.value(), function.value(), parts));
}

void CudaStateMemory::give_back(Context context, const LaneParts& parts) {
  std::lock_guard lock(mutex_);
  idle_[context].push_back(parts);
}

}  // namespace rhz::cuda

namespace rhz {

OpenedStateMemory open_state_memory() {
  auto driver = cuda::driver();
  if (!driver) return {nullptr, driver.status()};
  // Streams and contexts are the process's, and so are the lanes that are made of them.
  static const auto memory = std::make_shared<cuda::CudaStateMemory>(*driver.value());
  return {memory, Status::ok()};
}

}  // namespace rhz
