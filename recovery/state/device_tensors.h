// What is done with tensors that may be memory of a device.  Not the loop's owner: all of it may
// wait for the device.
#pragma once

#include <span>

#include "recovery/state/state.h"

namespace rhz::recovery {

bool any_on_device(std::span<const Tensor> tensors);

// Waits until the devices of these tensors have done what this process has queued there: what it
// changes by kernels has changed then.
[[nodiscard]] Status settle(std::span<const Tensor> tensors);

// As State::root().  kIo: a device has failed.
[[nodiscard]] Result<Digest> root_of(std::span<const Tensor> tensors);

}  // namespace rhz::recovery
