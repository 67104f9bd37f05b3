// What a vault keeps, and for whom: the decisions, without sockets.  A step function; one thread at
// a time.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "recovery/vault/vault.h"
#include "runtime/memory/shared_region.h"

namespace rhz::recovery {

struct StoreLimits {
  uint64_t snapshot_bytes =
      UINT64_MAX;           // of all buffers; states that are kept cost no memory of their own
  uint32_t holders = 1024;  // B1
  uint32_t descriptors = 1u << 20;  // B1: of all pieces and buffers
};

using OwnerId = uint64_t;  // a connection to the vault; never reused
inline constexpr OwnerId kNoOwner = 0;

class VaultStore {
 public:
  explicit VaultStore(StoreLimits limits) : limits_(limits) {}

  // kArgument: pieces that are none, or no state in the first.  kMemory: over a limit.  A refusal
  // leaves what was kept before.
  [[nodiscard]] Status keep(OwnerId owner, uint32_t pid, Slot slot, std::vector<Fd> pieces);
  // The pieces; who asks is the owner from now on.  kStateLost, kState: as in Vault.
  [[nodiscard]] Result<std::span<const Fd>> attach(OwnerId owner, uint32_t pid, Slot slot);
  // Of the owner's own.
  void drop(OwnerId owner, Slot slot);
  // The connection is over, or its process is.  Memory of devices that nobody can take up, because the
  // state in it is not whole, is let go: whoever comes next may need the room.
  void gone(OwnerId owner);
  // Lets go of all states in memory of devices that somebody held; of whom they were.
  std::vector<OwnerId> lose_held();

  // Opens a snapshot.  The buffer to be written, or null: give() it one of info.bytes().  A
  // snapshot that was open is forgotten.
  [[nodiscard]] Result<const Fd*> begin(OwnerId owner, Slot slot, const SnapshotInfo& info);
  // kArgument: none was asked for, or it has another size.
  [[nodiscard]] Status give(OwnerId owner, Slot slot, Fd buffer);
  // kArgument: no snapshot of this revision is open, or sealed.
  [[nodiscard]] Status seal(OwnerId owner, Slot slot, uint64_t revision);
  struct Sealed {
    SnapshotInfo info;
    const Fd* buffer;
  };
  [[nodiscard]] Result<Sealed> read(Slot slot, uint64_t revision) const;

  std::vector<Holding> list() const;
  uint64_t snapshot_bytes() const;
  size_t descriptors() const;

 private:
  struct Buffer {
    Fd fd;
    uint64_t bytes = 0;  // announced before it came
    SnapshotInfo info;
    uint64_t sealed = 0;  // the how many-th seal; 0: not sealed
    OwnerId writer = kNoOwner;
  };
  struct Holder {
    OwnerId owner = kNoOwner;  // who lives and may change the state
    uint32_t pid = 0;
    std::vector<Fd> pieces;
    uint64_t bytes = 0;
    SharedRegion head;
    std::string lost;  // why nothing is kept any more
    std::array<Buffer, 2> buffers;
  };

  [[nodiscard]] Result<Holder*> holder(Slot slot);
  static void let_go(Holder& held, std::string why);
  Buffer* open_buffer(OwnerId owner, Slot slot);
  bool go_back(Slot slot, uint64_t revision);

  const StoreLimits limits_;
  std::map<Slot, Holder> holders_;
  uint64_t seals_ = 0;
};

}  // namespace rhz::recovery
