// Tensors that calls without a communicator are given, where these are memory of a device: marked,
// or stood in for by copies in the host.  The calling thread waits for the device.
#pragma once

#include <vector>

#include "recovery/state/state.h"

namespace rhz::api {

// Sets `device` of those that are a device's.
[[nodiscard]] Status mark_device_tensors(std::vector<recovery::Tensor>& tensors);

class DeviceCopies {
 public:
  // Copies those that are a device's into the host, as they are when all that is queued there is
  // done: `tensors` are the copies from then on.
  [[nodiscard]] Status take(std::vector<recovery::Tensor>& tensors);
  // What has become of the copies goes to where they came from.
  [[nodiscard]] Status put_back() const;

 private:
  struct Copy {
    recovery::Tensor tensor;  // on the device
    std::vector<std::byte> bytes;
  };
  std::vector<Copy> copies_;
};

}  // namespace rhz::api
