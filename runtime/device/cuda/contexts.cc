#include "runtime/device/cuda/contexts.h"

#include "runtime/device/cuda/current.h"

namespace rhz::cuda {

Result<Context> Contexts::of(const void* memory) {
  Context context = nullptr;
  if (driver_.pointer_get_attribute(&context, kAttributeContext, address_of(memory)) == kSuccess &&
      context)
    return context;
  int ordinal = 0;
  DeviceNumber device = 0;
  Status status = driver_.check(
      driver_.pointer_get_attribute(&ordinal, kAttributeDeviceOrdinal, address_of(memory)),
      "cuPointerGetAttribute");
  if (status) status = driver_.check(driver_.device_get(&device, ordinal), "cuDeviceGet");
  if (!status) return status;
  return primary_of(device);
}

Result<Context> Contexts::primary_of(DeviceNumber device) {
  std::lock_guard lock(mutex_);
  Context& context = primary_[device];
  if (context) return context;
  Status status =
      driver_.check(driver_.primary_context_retain(&context, device), "cuDevicePrimaryCtxRetain");
  if (!status) return status;
  return context;
}

}  // namespace rhz::cuda
