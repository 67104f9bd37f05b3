// What is done with tensors that may be memory of a device.  Not the loop's owner: all of it may
// wait for the device.
#pragma once

#include <functional>
#include <span>

#include "recovery/state/state.h"

namespace rhz::recovery {

bool any_on_device(std::span<const Tensor> tensors);

// Waits until the devices of these tensors have done what this process has queued there: what it
// changes by kernels has changed then.
[[nodiscard]] Status settle(std::span<const Tensor> tensors);

// Bytes of a device's from there, or to there, piece by piece.  `next`, before each
// piece: an error is the end.  kIo: the device has failed.
using NextPiece = std::function<Status()>;
[[nodiscard]] Status fetch(StateMemory& device, MutableBytes into, const std::byte* from,
                           const NextPiece& next);
[[nodiscard]] Status put(StateMemory& device, std::byte* to, ConstBytes from,
                         const NextPiece& next);

// As State::root().  kIo: a device has failed.
[[nodiscard]] Result<Digest> root_of(std::span<const Tensor> tensors);

}  // namespace rhz::recovery
