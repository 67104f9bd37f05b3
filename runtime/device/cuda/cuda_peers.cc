#include "runtime/device/cuda/cuda_peers.h"

#include "runtime/device/cuda/current.h"

namespace rhz::cuda {

Result<SharedAllocation> CudaPeers::share(const void* memory) {
  const auto shared = cuda::share(driver_, memory);
  if (!shared) return shared.status();
  return shared.value().allocation;
}

Result<std::byte*> CudaPeers::map(const DeviceQueue& by, const SharedAllocation& allocation) {
  return opened_.open(by.context, allocation);
}

void CudaPeers::unmap(const DeviceQueue& by, const SharedAllocation& allocation, std::byte*) {
  opened_.close(by.context, allocation);
}

Result<std::byte*> CudaPeers::allocate(const DeviceQueue& by, size_t bytes, bool zeroed) {
  Address memory = 0;
  Status status = in_context(driver_, by.context, "cuMemAlloc",
                             [&] { return driver_.allocate(&memory, bytes); });
  if (status && zeroed) {
    status = in_context(driver_, by.context, "cuMemsetD8", [&] {
      const Error error = driver_.fill(memory, 0, bytes);
      return error != kSuccess ? error : driver_.context_synchronize();
    });
  }
  if (!status) return status;
  return pointer_to(memory);
}

void CudaPeers::free(const DeviceQueue& by, std::byte* begin) {
  (void)in_context(driver_, by.context, "cuMemFree",
                   [&] { return driver_.free(address_of(begin)); });
}

Status CudaPeers::copy(const DeviceQueue& on, void* to, const void* from, size_t bytes) {
  return in_context(driver_, on.context, "cuMemcpyDtoDAsync", [&] {
    return driver_.copy_on_device(address_of(to), address_of(from), bytes, on.stream);
  });
}

Result<Function> CudaPeers::function_of(const DeviceQueue& on, const Launch& launch) {
  std::lock_guard lock(mutex_);
  Function& function = functions_[{on.context, launch.kernel}];
  if (function) return function;
  Module& module = modules_[{on.context, launch.image}];
  Status status;
  if (!module)
    status = in_context(driver_, on.context, "cuModuleLoadData",
                        [&] { return driver_.module_load(&module, launch.image); });
  if (status)
    status = in_context(driver_, on.context, launch.kernel, [&] {
      return driver_.module_get_function(&function, module, launch.kernel);
    });
  if (!status) return status;
  return function;
}

Status CudaPeers::run(const DeviceQueue& on, const Launch& launch, const void* parameter) {
  const auto function = function_of(on, launch);
  if (!function) return function.status();
  void* parameters[] = {const_cast<void*>(parameter)};
  return in_context(driver_, on.context, launch.kernel, [&] {
    return driver_.launch(function.value(), launch.blocks, 1, 1, launch.threads, 1, 1, 0, on.stream,
                          parameters, nullptr);
  });
}

}  // namespace rhz::cuda
