// The trainer's side of device_holder.h: memory of devices as pieces that a vault keeps.  Any
// thread, never the loop's owner.
#pragma once

#include <span>
#include <vector>

#include "recovery/state/state.h"
#include "recovery/vault/vault.h"
#include "runtime/device/device_blocks.h"

namespace rhz::recovery {

// What the tensors lie in that is neither the host's nor outlives this process by itself, held from
// now on for as long as somebody has its descriptor.  The text of an error names the tensor.
// kArgument: memory of another kind, or too many pieces.  kState: the vault holds none.  kTimeout:
// after 30 s.
[[nodiscard]] Result<std::vector<DeviceBlock>> hold_plain_blocks(std::span<const Tensor> tensors,
                                                                 const DeviceBlocks& devices,
                                                                 Vault& vault);

// A copy of what such a piece leads to, in memory of `devices`.  kStateLost: who held it is gone.
[[nodiscard]] Result<std::byte*> copy_held(const Fd& piece, uint64_t bytes, const DeviceId& device,
                                           DeviceBlocks& devices);

}  // namespace rhz::recovery
