// Snapshots: tensors copied into a buffer of a vault, and back.
//
//   buffer = [ the part of each tensor, by rising name, each at a multiple of 64 bytes | table,
//   with a digest per 256 KiB ]
//
// Step functions over descriptors and memory: no thread, no clock.
#pragma once

#include <span>
#include <vector>

#include "recovery/state/state.h"
#include "recovery/vault/table.h"
#include "recovery/vault/vault.h"

namespace rhz::recovery {

// Copies part `part` of `parts` of every tensor (even_part).  The tensors do not change meanwhile.
class SnapshotCopy {
 public:
  SnapshotCopy(std::span<const Tensor> tensors, uint64_t revision, uint32_t part, uint32_t parts);
  const SnapshotInfo& info() const { return info_; }
  // Copies about so many bytes more into the buffer, of info().bytes() or more; true when all is
  // there, the table too.
  [[nodiscard]] Result<bool> step(const Fd& buffer, uint64_t budget_bytes);

 private:
  std::span<const Tensor> tensors_;
  StateTable table_;
  SnapshotInfo info_;
  size_t entry_ = 0;
};

// Reads the table of a snapshot.  kCorrupt.
[[nodiscard]] Result<StateTable> read_table(const Snapshot& snapshot);

// Writes what the snapshot holds into the tensors (by rising name).  Every 256 KiB has matched its
// digest, unless `unchecked`.  kMismatch: they are other tensors; nothing is written.  kCorrupt,
// with the tensor's name: they hold neither what they held nor the snapshot.
[[nodiscard]] Status restore(const Snapshot& snapshot, const StateTable& table,
                             std::span<const Tensor> tensors, bool unchecked);

}  // namespace rhz::recovery
