// What a peer does so that its state outlives it: the registered tensors on one side, the vault on
// the other.  Owned by the driver; any thread of the program, none of the library's.  Calls may
// block for as long as the vault's patience.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "api/src/background.h"
#include "api/src/pinned_buffers.h"
#include "api/src/progress.h"
#include "recovery/state/state.h"
#include "recovery/vault/attach.h"
#include "recovery/vault/vault.h"
#include "runtime/device/device_blocks.h"
#include "runtime/memory/shared_memory.h"
#include "runtime/observe/recorder.h"

namespace rhz {

// The committed revision, where the registered tensors hold it now; `wanted`: 0, or the only one.
// kState: an update is open, nothing is committed; kArgument: it is another one.
[[nodiscard]] Result<uint64_t> held_revision(const recovery::State& state, uint64_t wanted);

class StateKeeper {
 public:
  // How the peer stands in its run; asked as the loop's owner.
  struct Standing {
    bool asked = false, joined = false;  // rhz_comm_join was called, and has ended
    Slot slot = kAnySlot;                // the own one, or the one asked for
    Status ended;                        // not ok: nothing is of use any more
  };
  struct Surroundings {
    Progress& progress;
    recovery::State& state;
    SharedMemory& memory;
    DeviceBlocks& devices;
    std::function<Standing()> standing;
    std::function<bool()> busy;                              // as in Background
    std::function<void(LogLevel, const std::string&)> note;  // as the loop's owner
  };
  // `vault`: the name of its socket; empty: none, and snapshots stay in this process.
  StateKeeper(Surroundings around, const std::string& vault, uint64_t run);

  Status begin_update();
  // Waits until devices have done what is queued, where tensors are theirs.
  Status end_update();

  struct Attached {
    uint64_t revision = 0, bytes = 0;
    bool verified = false;
  };
  // Sets the data of the tensors, which have everything else (by rising name).  `revision`: 0 or
  // the only one wanted.
  [[nodiscard]] Result<Attached> attach(std::span<recovery::Tensor> tensors, uint64_t revision,
                                        bool unchecked);

  // The peer has become a member: from now on its state is kept, where it lies in memory that can
  // be.
  void joined();
  // It has left in good order.
  void left();
  void stop() { snapshotter_.stop(); }

  struct SnapshotChoice {
    uint64_t revision = 0;  // 0: the committed one
    uint32_t part = 0, parts = 1;
    bool hold = false;  // seal() is called for it
  };
  Status snapshot(const SnapshotChoice& choice);
  Status fence(Duration timeout) { return snapshotter_.wait(timeout); }
  Status seal(uint64_t revision);
  // From the vault of this host.  kStateLost, kUnreachable, kTimeout: it has nothing, and the text
  // names no next source.
  [[nodiscard]] Result<recovery::SnapshotInfo> restore(uint64_t revision, bool unchecked);
  // Revisions of the slot's complete snapshots, the newest first.
  [[nodiscard]] Result<std::vector<uint64_t>> snapshots();
  Status begin_replacement();

  // Whether restore() may be called now, and whose state it would be.
  Status may_restore(Slot& slot);
  // Overwrites the registered tensors with a snapshot, wherever it comes from.
  Status restore_from(const recovery::Snapshot& snapshot, bool unchecked);

  // A copy of a complete snapshot, whole and of one revision, as it is protected (shard_restore.h).
  // kPending: it is still being made.  Any thread.
  struct Source {
    uint64_t revision = 0;
    Digest root{};
    std::shared_ptr<const std::vector<std::byte>> state;
  };
  [[nodiscard]] Result<Source> source(Slot slot, uint64_t revision,
                                      const std::function<bool()>& next);

  const recovery::Vault& vault() const { return *vault_; }
  // What the vault of this host keeps; nothing where it does not answer.
  std::vector<recovery::Holding> holdings();
  uint64_t state_bytes() const { return around_.state.bytes(); }

 private:
  Standing standing();
  Status may_attach(Standing& now);
  Result<uint64_t> may_snapshot(const SnapshotChoice& choice) const;
  [[nodiscard]] Result<Attached> take_up(Slot slot, std::vector<Fd> pieces,
                                         std::span<recovery::Tensor> tensors, uint64_t revision,
                                         bool unchecked);
  [[nodiscard]] Status map(recovery::KeptState& kept, std::span<recovery::Tensor> tensors);
  Status copy(Slot slot, const SnapshotChoice& choice, Background::Pace& pace);
  void keep(Slot slot);
  bool keep_again(Slot slot);
  std::string next_source(Slot slot);

  Surroundings around_;
  const std::unique_ptr<recovery::Vault> vault_;
  std::atomic<uint32_t> slot_{kAnySlot.value};  // since joined()
  bool attached_ = false;                       // as the loop's owner
  bool copied_ = false;                         // what the vault has of it is another state
  std::mutex keeping_;                          // one keep() at a time
  uint64_t kept_with_ = 0;                      // the vault's incarnation then; under keeping_
  std::vector<std::shared_ptr<recovery::StateHeader>>
      old_headers_;         // somebody may still be about to look; under keeping_
  PinnedBuffers pinned_;    // the snapshotter's own
  Background snapshotter_;  // the last: its thread uses the others
};

}  // namespace rhz
