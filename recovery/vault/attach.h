// A state that is kept as it is, and taken up again by the next process: what the pieces hold.
//
//   piece 0 = [ StateHeader, a page | table | device id, bytes u64 of each device piece ]
//   pieces 1 … = the blocks of rhz_alloc that the tensors lie in, and behind them those of devices:
//   of rhz_cuda_alloc, or a connection to who holds the program's own (device_holder.h)
//
// No copy is made on either side, but of the latter.  Functions and values; the caller has the loop, where shared
// memory belongs to one.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "recovery/state/state.h"
#include "recovery/vault/table.h"
#include "recovery/vault/vault.h"
#include "runtime/device/device_blocks.h"
#include "runtime/memory/shared_memory.h"
#include "runtime/memory/shared_region.h"

namespace rhz::recovery {

struct Keeping {
  std::vector<Fd> pieces;               // for the vault
  std::shared_ptr<StateHeader> header;  // in the first of them, with what `state` holds now
};
// `held`: blocks of devices that others hold (hold_plain_blocks).  kArgument: a tensor lies in no
// memory of rhz_alloc, rhz_cuda_alloc or `held`; the text names it. kMemory.  Calls no device.
[[nodiscard]] Result<Keeping> keep_state(const State& state, const SharedMemory& memory,
                                         const DeviceBlocks& devices,
                                         std::span<const DeviceBlock> held = {});

// What a vault had kept, not in use yet.
struct KeptState {
  std::shared_ptr<StateHeader> header;
  StateTable table;
  std::vector<Fd> blocks;  // piece i + 1
  struct OnDevice {
    DeviceId device{};
    uint64_t bytes = 0;
    std::byte* begin = nullptr;  // since map_devices()
  };
  std::vector<OnDevice> on_device;  // the last ones of them
  // Some are held elsewhere, so that what is taken up is a copy of them, and of all others: what the
  // vault has stays one state, whatever becomes of the copy.
  bool copied = false;
};
// kCorrupt: these are no pieces of a state.
[[nodiscard]] Result<KeptState> open_kept(std::vector<Fd> pieces);

// Whether it is whole and of which revision; kStateLost with a text that says what happened
// (without the next source).
[[nodiscard]] Status judge_kept(const StateHeader& header);

// Maps the blocks of devices, or copies what is held elsewhere; not for the loop's owner.  After a
// failure there is none.
[[nodiscard]] Status map_devices(KeptState& kept, DeviceBlocks& devices);
void unmap_devices(KeptState& kept, DeviceBlocks& devices);
// Maps the others, or copies them, and sets the data of `tensors`, which have names, dtypes, counts and sizes (by
// rising name) and no data.  kMismatch: they are not the ones that are kept.  After a failure
// nothing of the host's is mapped.
[[nodiscard]] Status map_kept(KeptState& kept, SharedMemory& memory, StateMemory* device_memory,
                              std::span<Tensor> tensors);
void unmap_kept(SharedMemory& memory, std::span<const Tensor> tensors);

// Whether the bytes have the root that was taken of them: kStateLost if not.  Whoever asks has seen
// that there is one (has_root).
[[nodiscard]] Status check_root(const StateHeader& header, std::span<const Tensor> tensors);

}  // namespace rhz::recovery
