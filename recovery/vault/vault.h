// A vault: who keeps memory of trainers so that it outlives them.  A holder is the slot of a
// trainer on this host.  Of each it keeps
//
//   the state itself   the pieces that the trainer's tensors lie in, as they are: [ header page |
//   table ], block* two snapshots      a buffer each, [ tensors | table ], of which one is newer
//   than the other
//
// and looks into none of them but the header page.  VaultClient asks a process (`rhizome vault`),
// LocalVault keeps all in this one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "recovery/state/header.h"
#include "runtime/base/fd.h"
#include "runtime/base/status.h"
#include "runtime/base/types.h"

namespace rhz::recovery {

// The tensors of one revision, or a replica's part of each.
struct SnapshotInfo {
  uint64_t revision = 0;
  uint64_t data_bytes = 0;  // where the table begins
  uint64_t table_bytes = 0;
  uint32_t part = 0, parts = 1;
  uint64_t bytes() const { return data_bytes + table_bytes; }
  friend bool operator==(const SnapshotInfo&, const SnapshotInfo&) = default;
};

struct Snapshot {
  SnapshotInfo info;
  Fd buffer;
};

// What a vault says of a holder.
struct Holding {
  Slot slot;
  uint32_t pid = 0;    // of the trainer; 0: not known
  bool alive = false;  // it is connected
  bool kept = false;   // its state is here:
  uint64_t kept_bytes = 0;
  uint64_t revision = 0;
  StateHeader::Verdict verdict = StateHeader::Verdict::kWhole;
  std::vector<SnapshotInfo> snapshots;  // sealed ones, the newest first
  uint64_t buffer_bytes = 0;            // of both buffers
};

inline constexpr uint64_t kMaxPieceBytes = uint64_t{1}
                                           << 43;  // B1: twice what all tensors of a peer may have
inline constexpr size_t kMaxPieces =
    1025;  // B1: of one state: its header, and as many blocks as rhz_alloc gives out

// Any thread.  Each call blocks until it is done, at most for as long as the vault was made for;
// not for the progress thread. What a vault process does not answer is kUnreachable or kTimeout,
// and its calls may be tried again.
class Vault {
 public:
  virtual ~Vault() = default;
  // For texts: "the vault …".
  virtual std::string name() const = 0;
  virtual bool outlives_process() const = 0;
  // Grows whenever it is another one that may have nothing of ours; 0: none was ever reached.
  virtual uint64_t incarnation() const = 0;

  // Keeps the holder's state instead of what it kept before.  Takes the pieces.
  [[nodiscard]] virtual Status keep(Slot slot, std::vector<Fd> pieces) = 0;
  // kStateLost: nothing is kept.  kState: another trainer holds it, and lives.
  [[nodiscard]] virtual Result<std::vector<Fd>> attach(Slot slot) = 0;
  // A connection to who holds memory of devices (device_holder.h), for one allocation.  kState: this
  // vault has nobody who does.
  [[nodiscard]] virtual Result<Fd> hold_device() = 0;
  // Lets go of the holder's state; its snapshots stay.
  virtual Status drop(Slot slot) = 0;

  // The buffer for the next snapshot, of info.bytes() or more; never the newest sealed one.
  // kMemory: over the limit.
  [[nodiscard]] virtual Result<Fd> begin(Slot slot, const SnapshotInfo& info) = 0;
  // It is complete, and the newest one from now on.  Of one that is complete already: what was
  // sealed behind it is forgotten, for the run has gone back.
  [[nodiscard]] virtual Status seal(Slot slot, uint64_t revision) = 0;
  // Of this revision, 0: the newest.  kStateLost: there is none; the text says which there are.
  [[nodiscard]] virtual Result<Snapshot> read(Slot slot, uint64_t revision) = 0;

  [[nodiscard]] virtual Result<std::vector<Holding>> list() = 0;
};

}  // namespace rhz::recovery
