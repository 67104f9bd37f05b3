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
#include "recovery/vault/device_fetch.h"
#include "recovery/vault/table.h"
#include "recovery/vault/vault.h"

namespace rhz::recovery {

// Copies part `part` of `parts` of every tensor (even_part).  The tensors do not change meanwhile.
class SnapshotCopy {
 public:
  SnapshotCopy(std::span<const Tensor> tensors, uint64_t revision, uint32_t part, uint32_t parts);
  const SnapshotInfo& info() const { return info_; }
  // Tensors of devices are copied by these, and not by the CPU: needs the whole buffer mapped.
  void map(MutableBytes buffer) { mapped_ = buffer; }
  // Copies about so many bytes more into the buffer, of info().bytes() or more; true when all is
  // there, the table too.
  [[nodiscard]] Result<bool> step(const Fd& buffer, uint64_t budget_bytes);

 private:
  // One piece; where in the entry it begins.
  [[nodiscard]] Status copy_piece(const Fd& buffer, uint64_t at, uint64_t bytes);
  [[nodiscard]] Status finish(const Fd& buffer);

  std::span<const Tensor> tensors_;
  StateTable table_;
  SnapshotInfo info_;
  size_t entry_ = 0;
  uint64_t at_ = 0;  // in that entry
  MutableBytes mapped_;
  DeviceFetch fetch_;
};

// Reads the table of a snapshot.  kCorrupt.
[[nodiscard]] Result<StateTable> read_table(const Snapshot& snapshot);

// Writes what a snapshot holds into the tensors, in pieces that do not touch each other.  All of
// them outlive it.
class Restore {
 public:
  // kMismatch: they are other tensors.  Nothing is written yet.
  [[nodiscard]] static Result<Restore> make(const Snapshot& snapshot, const StateTable& table,
                                            std::span<const Tensor> tensors, bool unchecked);
  size_t pieces() const { return pieces_.size(); }
  // Any thread, several at once: one takes twice as long for a piece as memcpy would.  Every 256
  // KiB has matched its digest, unless `unchecked`.  kCorrupt, with the tensor's name: the tensors
  // hold neither what they held nor the snapshot.
  [[nodiscard]] Status piece(size_t index) const;

 private:
  struct Piece {
    const TableEntry* entry;
    const Tensor* tensor;
    uint64_t at;  // in the entry
  };
  [[nodiscard]] Status check(const Piece& piece, ConstBytes bytes) const;
  Restore(const Snapshot& snapshot, bool unchecked) : snapshot_(&snapshot), unchecked_(unchecked) {}

  const Snapshot* snapshot_;
  bool unchecked_;
  std::vector<Piece> pieces_;
};

// All pieces, one behind the other.
[[nodiscard]] Status restore(const Snapshot& snapshot, const StateTable& table,
                             std::span<const Tensor> tensors, bool unchecked);

}  // namespace rhz::recovery
