#include "runtime/device/cuda/shared_allocations.h"

#include <cstring>

#include "runtime/device/cuda/current.h"

namespace rhz::cuda {
namespace {

std::string key_of(const SharedAllocation& a) {
  return {reinterpret_cast<const char*>(a.name.data()), a.name.size()};
}

}  // namespace

Result<Shared> share(const Driver& driver, const void* memory) {
  Shared shared;
  IpcHandle handle;
  static_assert(sizeof handle == sizeof shared.allocation.name);
  Address base = 0;
  size_t size = 0;
  int ordinal = 0;
  DeviceNumber device = 0;
  const Address at = address_of(memory);
  Status status = driver.check(driver.get_address_range(&base, &size, at), "cuMemGetAddressRange");
  if (status) status = driver.check(driver.ipc_get_handle(&handle, base), "cuIpcGetMemHandle");
  if (status)
    status = driver.check(driver.pointer_get_attribute(&ordinal, kAttributeDeviceOrdinal, at),
                          "cuPointerGetAttribute");
  if (status) status = driver.check(driver.device_get(&device, ordinal), "cuDeviceGet");
  if (status)
    status = driver.check(driver.device_get_uuid(shared.allocation.device.data(), device),
                          "cuDeviceGetUuid");
  if (!status) return status;
  std::memcpy(shared.allocation.name.data(), &handle, sizeof handle);
  shared.allocation.offset = at - base;
  shared.bytes = size;
  return shared;
}

Result<std::byte*> OpenedAllocations::open(Context context, const SharedAllocation& allocation) {
  std::lock_guard lock(mutex_);
  const std::pair key{context, key_of(allocation)};
  Opened& opened = opened_[key];
  if (opened.users == 0) {
    IpcHandle handle;
    std::memcpy(&handle, allocation.name.data(), sizeof handle);
    Status status = in_context(driver_, context, "cuIpcOpenMemHandle", [&] {
      return driver_.ipc_open_handle(&opened.base, handle, kIpcLazyPeerAccess);
    });
    if (!status) {
      opened_.erase(key);
      return status;
    }
  }
  ++opened.users;
  return pointer_to(opened.base + allocation.offset);
}

void OpenedAllocations::close(Context context, const SharedAllocation& allocation) {
  std::lock_guard lock(mutex_);
  const auto known = opened_.find({context, key_of(allocation)});
  if (known == opened_.end() || --known->second.users > 0) return;
  (void)in_context(driver_, context, "cuIpcCloseMemHandle",
                   [&] { return driver_.ipc_close_handle(known->second.base); });
  opened_.erase(known);
}

}  // namespace rhz::cuda
