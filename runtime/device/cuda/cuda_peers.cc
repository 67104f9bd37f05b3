#include "runtime/device/cuda/cuda_peers.h"

#include <cstring>

#include "runtime/device/cuda/current.h"

namespace rhz::cuda {
namespace {
std::string key_of(const SharedAllocation& a) {
  return {reinterpret_cast<const char*>(a.name.data()), a.name.size()};
}
std::byte* pointer(Address address) {
  return reinterpret_cast<std::byte*>(static_cast<uintptr_t>(address));
}
}  // namespace

Result<SharedAllocation> CudaPeers::share(const void* memory) {
  SharedAllocation shared;
  IpcHandle handle;
  static_assert(sizeof handle == sizeof shared.name);
  Address base = 0;
  size_t size = 0;
  int ordinal = 0;
  DeviceNumber device = 0;
  const Address at = address_of(memory);
  Status status =
      driver_.check(driver_.get_address_range(&base, &size, at), "cuMemGetAddressRange");
  if (status) status = driver_.check(driver_.ipc_get_handle(&handle, base), "cuIpcGetMemHandle");
  if (status)
    status = driver_.check(driver_.pointer_get_attribute(&ordinal, kAttributeDeviceOrdinal, at),
                           "cuPointerGetAttribute");
  if (status) status = driver_.check(driver_.device_get(&device, ordinal), "cuDeviceGet");
  if (status)
    status =
        driver_.check(driver_.device_get_uuid(shared.device.data(), device), "cuDeviceGetUuid");
  if (!status) return status;
  std::memcpy(shared.name.data(), &handle, sizeof handle);
  shared.offset = at - base;
  return shared;
}

Result<std::byte*> CudaPeers::map(const DeviceQueue& by, const SharedAllocation& allocation) {
  std::lock_guard lock(mutex_);
  auto& [base, users] = mapped_[{by.context, key_of(allocation)}];
  if (users == 0) {
    IpcHandle handle;
    std::memcpy(&handle, allocation.name.data(), sizeof handle);
    Status status = in_context(driver_, by.context, "cuIpcOpenMemHandle", [&] {
      return driver_.ipc_open_handle(&base, handle, kIpcLazyPeerAccess);
    });
    if (!status) return status;
  }
  ++users;
  return pointer(base + allocation.offset);
}

void CudaPeers::unmap(const DeviceQueue& by, const SharedAllocation& allocation, std::byte*) {
  std::lock_guard lock(mutex_);
  const auto known = mapped_.find({by.context, key_of(allocation)});
  if (known == mapped_.end() || --known->second.second > 0) return;
  (void)in_context(driver_, by.context, "cuIpcCloseMemHandle",
                   [&] { return driver_.ipc_close_handle(known->second.first); });
  mapped_.erase(known);
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
  return pointer(memory);
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
