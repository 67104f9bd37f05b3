// The contexts that memory belongs to.
#pragma once

#include <map>
#include <mutex>

#include "runtime/device/cuda/driver.h"
#include "runtime/device/shared_allocation.h"

namespace rhz::cuda {

class Contexts {
 public:
  explicit Contexts(const Driver& driver) : driver_(driver) {}

  // Memory of a pool or mapped by its addresses (VMM) has no context of its own: the primary one of its device is as good.
  [[nodiscard]] Result<Context> of(const void* memory);
  // Retained once, and for good.
  [[nodiscard]] Result<Context> primary_of(DeviceNumber device);
  [[nodiscard]] Result<Context> primary_by(const DeviceId& id);
  // kState: this process sees no such device.
  [[nodiscard]] Result<DeviceNumber> device_by(const DeviceId& id) const;

 private:
  const Driver& driver_;
  std::mutex mutex_;
  std::map<DeviceNumber, Context> primary_;
};

}  // namespace rhz::cuda
