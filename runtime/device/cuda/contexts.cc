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

Result<DeviceNumber> Contexts::device_by(const DeviceId& id) const {
  int count = 0;
  Status status = driver_.check(driver_.device_get_count(&count), "cuDeviceGetCount");
  if (!status)
    return Status(Code::kState, status.text() + "; the program has to use the device first");
  for (int i = 0; i < count; ++i) {
    DeviceNumber device = 0;
    DeviceId found{};
    if (driver_.device_get(&device, i) == kSuccess &&
        driver_.device_get_uuid(found.data(), device) == kSuccess && found == id)
      return device;
  }
  return Status(Code::kState, "the device that holds the state is none of the " +
                                  std::to_string(count) + " that this process sees");
}

Result<Context> Contexts::primary_by(const DeviceId& id) {
  const auto device = device_by(id);
  return device ? primary_of(device.value()) : device.status();
}

}  // namespace rhz::cuda
