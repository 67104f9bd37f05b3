// What makes it possible to copy a result to a device before its op is over: where a part of it was
// made anew meanwhile (W15), a kernel that stands behind the op's gate copies all of it once more.
// It is queued beforehand, for nobody may call the device when that is known (device_op.h).
#pragma once

#include <set>

#include "runtime/device/peer_access.h"

namespace rhz::api {

class PutAgainKernel {
 public:
  // Null: there is none.
  explicit PutAgainKernel(const void* image) : image_(image) {}

  // Once for each context.  Loading a kernel waits for all that is queued on the device, and what is
  // there may wait for the program: not where a call of the program's must not block.
  void load(Device& device, const DeviceQueue& queue);
  bool is_loaded(const DeviceQueue& queue) const { return loaded_.contains(queue.context); }
  // Copies if the word is raised by then.  Both are aligned to kAlignment.
  static constexpr size_t kAlignment = 16;
  [[nodiscard]] Status enqueue(Device& device, const DeviceQueue& on, const DeviceWord& again,
                               std::byte* to, const std::byte* from, size_t bytes) const;

 private:
  const void* const image_;
  std::set<const void*> loaded_, tried_;  // contexts
};

}  // namespace rhz::api
