#include "api/src/state_keeper.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "api/src/shard_restore.h"
#include "recovery/state/device_tensors.h"
#include "recovery/vault/attach.h"
#include "recovery/vault/client.h"
#include "recovery/vault/device_pieces.h"
#include "recovery/vault/local_vault.h"
#include "recovery/vault/snapshot.h"
#include "runtime/base/thread.h"

namespace rhz {
namespace {

using recovery::StateHeader;

constexpr Duration kVaultPatience = std::chrono::seconds(2);  // with a vault that does not answer
constexpr uint64_t kPieceOfCopy = 1u << 20;              // between two looks at who goes first
constexpr size_t kMostRestorers = 4;    // threads of one rhz_restore, the caller's among them
constexpr size_t kPiecesPerThread = 4;  // of 1 MiB: fewer are not worth a thread
constexpr size_t kMostOldHeaders = 16;  // B1: a page each

constexpr const char* kMembers = "a live member serves it (rhz_comm_join, rhz_admit)";
constexpr const char* kOtherHosts =
    "a live member (rhz_comm_join, rhz_admit), shards in other hosts' vaults, or a checkpoint";

std::unique_ptr<recovery::Vault> open_vault(const std::string& name, uint64_t run) {
  if (name.empty()) return std::make_unique<recovery::LocalVault>();
  return std::make_unique<recovery::VaultClient>(name, run, kVaultPatience);
}

// One thread alone does not reach the rate of memory: the kernel copies page by page.
Status restore_on_threads(const recovery::Restore& work) {
  std::atomic<size_t> next{0};
  std::mutex mutex;
  Status outcome;  // under mutex: the first failure
  auto run = [&] {
    for (size_t i = next++; i < work.pieces(); i = next++) {
      Status put = work.piece(i);
      if (put) continue;
      next = work.pieces();
      std::lock_guard lock(mutex);
      if (outcome) outcome = std::move(put);
      return;
    }
  };
  {
    const size_t useful = std::min<size_t>(
        {kMostRestorers, std::thread::hardware_concurrency(), work.pieces() / kPiecesPerThread});
    std::vector<std::jthread> others;
    for (size_t i = 1; i < useful; ++i) others.push_back(start_thread("rhz-restore", run));
    run();
  }
  return outcome;
}

Status with_next(const Status& why, const std::string& next) {
  return {why.code(), why.text() + "; next source: " + next};
}

}  // namespace

StateKeeper::StateKeeper(Surroundings around, const std::string& vault, uint64_t run)
    : around_(std::move(around)),
      vault_(open_vault(vault, run)),
      snapshotter_("rhz-snapshot", "a snapshot is being copied", around_.busy) {}

Status StateKeeper::begin_update() {
  if (snapshotter_.running())
    return {Code::kState,
            "a snapshot is still being copied: call rhz_snapshot_fence before the tensors change"};
  StateHeader& header = around_.state.header();
  if (header.open()) return {Code::kState, "an update is open already"};
  header.marked.store(1, std::memory_order_relaxed);
  header.begin_update();
  return Status::ok();
}

Status StateKeeper::end_update() {
  StateHeader& header = around_.state.header();
  if (!header.open()) return {Code::kState, "no update is open"};
  // What kernels change has changed, or the state stays open.
  if (Status done = recovery::settle(around_.state.all_tensors()); !done) return done;
  header.end_update();
  return Status::ok();
}

StateKeeper::Standing StateKeeper::standing() {
  Standing now;
  around_.progress.with([&] { now = around_.standing(); });
  return now;
}

Status StateKeeper::may_attach(Standing& now) {
  now = standing();
  if (!now.ended.is_ok()) return now.ended;
  if (now.asked || attached_)
    return {Code::kState, "a state is attached to once, before rhz_comm_join"};
  if (now.slot == kAnySlot)
    return {Code::kState,
            "whose state? Ask for a slot (rhz_comm_params.slot_plus_one or RHZ_SLOT)"};
  if (vault_->outlives_process()) return Status::ok();
  return {Code::kStateLost,
          "there is no vault (RHZ_VAULT is not set), so nothing is kept; next source: " +
              next_source(now.slot)};
}

Result<StateKeeper::Attached> StateKeeper::attach(std::span<recovery::Tensor> tensors,
                                                  uint64_t revision, bool unchecked) {
  Standing now;
  if (Status may = may_attach(now); !may) return may;
  auto pieces = vault_->attach(now.slot);
  if (!pieces) {
    // A vault that is not there is not asked again.
    const bool there =
        pieces.status().code() == Code::kStateLost || pieces.status().code() == Code::kState;
    return with_next(pieces.status(), there ? next_source(now.slot) : kMembers);
  }
  auto attached = take_up(now.slot, std::move(pieces).value(), tensors, revision, unchecked);
  if (attached || attached.status().code() != Code::kStateLost) return attached;
  return with_next({Code::kStateLost,
                    "slot " + std::to_string(now.slot.value) + ": " + attached.status().text()},
                   next_source(now.slot));
}

Result<StateKeeper::Attached> StateKeeper::take_up(Slot slot, std::vector<Fd> pieces,
                                                   std::span<recovery::Tensor> tensors,
                                                   uint64_t revision, bool unchecked) {
  auto opened = recovery::open_kept(std::move(pieces));
  if (!opened) return opened.status();
  recovery::KeptState& kept = opened.value();
  StateHeader& header = *kept.header;
  if (Status whole = recovery::judge_kept(header); !whole) {
    // Of no use to anybody, and a device may not have room for another one beside it.
    if (!kept.on_device.empty()) (void)vault_->drop(slot);
    return whole;
  }
  Attached attached{header.revision.load(), 0, false};
  if (revision != 0 && revision != attached.revision) {
    return Status(Code::kStateLost, "revision " + std::to_string(attached.revision) + " is kept, " +
                                        std::to_string(revision) + " is asked for");
  }
  if (Status mapped = map(kept, tensors); !mapped) return mapped;
  if (header.has_root() && !unchecked) {
    if (Status same = recovery::check_root(header, tensors); !same) {
      around_.progress.with([&] { recovery::unmap_kept(around_.memory, tensors); });
      recovery::unmap_devices(kept, around_.devices);
      return same;
    }
    attached.verified = true;
  }
  for (const recovery::Tensor& tensor : tensors) attached.bytes += tensor.bytes;
  around_.progress.with([&] {
    // A copy has a page of its own: that of the vault is true of what it has.
    if (kept.copied)
      around_.state.header().copy_from(*kept.header);
    else
      around_.state.keep_header(kept.header);
    around_.state.adopt_revision(attached.revision);
    attached_ = true;
    copied_ = kept.copied;
  });
  return attached;
}

Status StateKeeper::map(recovery::KeptState& kept, std::span<recovery::Tensor> tensors) {
  if (Status same = kept.table.matches(tensors); !same) return same;
  if (Status mapped = recovery::map_devices(kept, around_.devices); !mapped) return mapped;
  Status mapped;
  around_.progress.with([&] {
    mapped = recovery::map_kept(kept, around_.memory, around_.devices.memory(), tensors);
  });
  if (!mapped) recovery::unmap_devices(kept, around_.devices);
  return mapped;
}

void StateKeeper::joined() {
  const Slot slot = standing().slot;
  slot_.store(slot.value, std::memory_order_release);
  if (vault_->outlives_process()) keep(slot);
}

void StateKeeper::keep(Slot slot) {
  std::lock_guard one(keeping_);
  const auto held =
      recovery::hold_plain_blocks(around_.state.all_tensors(), around_.devices, *vault_);
  Result<recovery::Keeping> keeping = held.status();
  bool any = false;
  around_.progress.with([&] {
    any = !around_.state.all_tensors().empty();
    if (any && held)
      keeping = recovery::keep_state(around_.state, around_.memory, around_.devices, held.value());
  });
  if (!any) return;
  Status kept = keeping.status();
  if (keeping) kept = vault_->keep(slot, std::move(keeping.value().pieces));
  // Memory elsewhere is the program's choice.  What else stands in the way may be over with the next snapshot.
  const bool chosen = !keeping && (kept.code() == Code::kArgument || kept.code() == Code::kState);
  kept_with_ = kept || chosen ? vault_->incarnation() : 0;
  // Should the vault have taken it all the same, nobody says any more whether it is whole.
  if (!kept && keeping) keeping.value().header->begin_update();
  // What it was copied from is of the past.
  const bool copied = std::exchange(copied_, false);
  if (!kept && copied) (void)vault_->drop(slot);
  around_.progress.with([&] {
    if (!kept) {
      const auto level = chosen ? LogLevel::kInfo : LogLevel::kWarn;
      return around_.note(level, "event=state_not_kept text=\"" + kept.text() + "\"");
    }
    std::shared_ptr<StateHeader> before = around_.state.header_pointer();
    keeping.value().header->copy_from(*before);
    around_.state.keep_header(keeping.value().header);
    before->begin_update();  // whoever finds the old page finds no state
    old_headers_.push_back(std::move(before));
    if (old_headers_.size() > kMostOldHeaders) old_headers_.erase(old_headers_.begin());
    around_.note(LogLevel::kInfo, "event=state_kept slot=" + std::to_string(slot.value));
  });
}

// The vault that has come back has nothing of ours, or has it for a connection that is over. False:
// it is the one that was.
bool StateKeeper::keep_again(Slot slot) {
  {
    std::lock_guard one(keeping_);
    if (!vault_->outlives_process() || vault_->incarnation() == kept_with_) return false;
  }
  keep(slot);
  return true;
}

void StateKeeper::left() {
  const Slot slot = standing().slot;
  if (!vault_->outlives_process() || vault_->incarnation() == 0 || slot == kAnySlot) return;
  (void)vault_->drop(slot);
}

// The page of the state says all that is needed: taking the loop for it could cost the turn of
// another thread.
Result<uint64_t> held_revision(const recovery::State& state, uint64_t wanted) {
  const StateHeader& header = state.header();
  const uint64_t phase = header.phase.load(std::memory_order_acquire);
  const uint64_t revision = header.revision.load(std::memory_order_relaxed);
  if (phase % 2 != 0) return Status(Code::kState, "an update is open: end and commit it first");
  if (header.committed.load(std::memory_order_relaxed) != phase || revision == 0)
    return Status(Code::kState, "no revision is committed: call rhz_state_commit first");
  if (wanted == 0 || wanted == revision) return revision;
  return Status(Code::kArgument, "the tensors hold revision " + std::to_string(revision) +
                                     ", not " + std::to_string(wanted));
}

Result<uint64_t> StateKeeper::may_snapshot(const SnapshotChoice& choice) const {
  if (choice.parts == 0 || choice.part >= choice.parts)
    return Status(Code::kArgument, "part " + std::to_string(choice.part) + " of " +
                                       std::to_string(choice.parts) + " there is not");
  if (slot_.load(std::memory_order_acquire) == kAnySlot.value)
    return Status(Code::kState, "not a member yet: call rhz_comm_join first");
  if (around_.state.all_tensors().empty()) return Status(Code::kState, "no tensor is registered");
  return held_revision(around_.state, choice.revision);
}

Status StateKeeper::snapshot(const SnapshotChoice& choice) {
  if (snapshotter_.running())
    return {Code::kState, "a snapshot is still being copied: call rhz_snapshot_fence first"};
  const Result<uint64_t> revision = may_snapshot(choice);
  if (!revision) return revision.status();
  SnapshotChoice chosen = choice;
  chosen.revision = revision.value();
  return snapshotter_.start([this, chosen](Background::Pace& pace) {
    return copy(Slot(slot_.load(std::memory_order_relaxed)), chosen, pace);
  });
}

// On the snapshot thread.
Status StateKeeper::copy(Slot slot, const SnapshotChoice& choice, Background::Pace& pace) {
  const StateHeader& header = around_.state.header();
  const uint64_t phase = header.phase.load(std::memory_order_acquire);
  recovery::SnapshotCopy copy(around_.state.all_tensors(), choice.revision, choice.part,
                              choice.parts);
  auto buffer = vault_->begin(slot, copy.info());
  // One that has ended the connection may be there all the same (VaultServer::lose_holder).
  if (buffer.status().code() == Code::kUnreachable)
    if (auto again = vault_->begin(slot, copy.info())) buffer = std::move(again);
  if (keep_again(slot) && !buffer) buffer = vault_->begin(slot, copy.info());
  if (!buffer) return buffer.status();
  const auto tensors = around_.state.all_tensors();
  const auto on_device =
      std::find_if(tensors.begin(), tensors.end(), [](const auto& t) { return t.device; });
  if (on_device != tensors.end()) {
    auto mapped = pinned_.map(buffer.value(), *on_device);
    if (!mapped) return mapped.status();
    copy.map(mapped.value());
  }
  for (bool done = false; !done;) {
    if (Status go = pace.next(); !go)
      return {go.code(), go.text() + " before the snapshot was complete"};
    auto step = copy.step(buffer.value(), kPieceOfCopy);
    if (!step) return step.status();
    done = step.value();
  }
  if (around_.state.header().phase.load(std::memory_order_acquire) != phase)
    return {Code::kState,
            "the tensors changed while they were copied: call rhz_snapshot_fence before an update"};
  return choice.hold ? Status::ok() : vault_->seal(slot, choice.revision);
}

Status StateKeeper::seal(uint64_t revision) {
  if (Status copied = snapshotter_.wait(Duration::zero()); !copied) return copied;
  return vault_->seal(standing().slot, revision);
}

Status StateKeeper::may_restore(Slot& slot) {
  const Standing now = standing();
  slot = now.slot;
  if (!now.ended.is_ok()) return now.ended;
  if (now.asked && !now.joined) return {Code::kState, "rhz_comm_join has not ended yet"};
  if (snapshotter_.running())
    return {Code::kState, "a snapshot is still being copied: call rhz_snapshot_fence first"};
  if (around_.state.all_tensors().empty())
    return {Code::kState, "no tensor is registered: there is nothing to restore to"};
  return Status::ok();
}

Result<recovery::SnapshotInfo> StateKeeper::restore(uint64_t revision, bool unchecked) {
  Slot slot;
  if (Status may = may_restore(slot); !may) return may;
  if (slot == kAnySlot)
    return Status(Code::kState,
                  "whose state? Ask for a slot (rhz_comm_params.slot_plus_one or RHZ_SLOT)");
  auto found = vault_->read(slot, revision);
  if (!found) return found.status();
  Status restored = restore_from(found.value(), unchecked);
  if (!restored)
    return restored.code() == Code::kMismatch ? restored : with_next(restored, kOtherHosts);
  // The run goes on from here: what was sealed later is of a past that did not happen.  A vault
  // that does not answer now has lost all of it when it does.
  (void)vault_->seal(slot, found.value().info.revision);
  return found.value().info;
}

Status StateKeeper::restore_from(const recovery::Snapshot& snapshot, bool unchecked) {
  auto table = recovery::read_table(snapshot);
  if (!table) return table.status();
  auto work =
      recovery::Restore::make(snapshot, table.value(), around_.state.all_tensors(), unchecked);
  if (!work) return work.status();
  around_.progress.with([&] { around_.state.forget_revision(); });
  if (Status whole = restore_on_threads(work.value()); !whole) return whole;
  // A part leaves the rest to others: the state is whole when it is committed.
  if (snapshot.info.parts == 1)
    around_.progress.with([&] { around_.state.adopt_revision(snapshot.info.revision); });
  return Status::ok();
}

Result<StateKeeper::Source> StateKeeper::source(Slot slot, uint64_t revision,
                                                const std::function<bool()>& next) {
  if (snapshotter_.running()) return Status(Code::kPending, "the snapshot is still being copied");
  auto found = vault_->read(slot, revision);
  if (!found) return found.status();
  const recovery::SnapshotInfo& info = found.value().info;
  if (info.parts > 1)
    return Status(Code::kArgument, "the snapshot has part " + std::to_string(info.part) + " of " +
                                       std::to_string(info.parts) +
                                       "; a stage is protected from a whole one");
  auto state = read_for_shards(found.value(), next);
  if (!state) return state.status();
  // Its buffer goes to the next snapshot but one.
  if (!vault_->read(slot, info.revision))
    return Status(Code::kState, "newer snapshots took the place of revision " +
                                    std::to_string(info.revision) +
                                    " before it was copied: protect less often");
  const Digest root = root_of_shards(state.value());
  return Source{info.revision, root,
                std::make_shared<const std::vector<std::byte>>(std::move(state).value())};
}

Status StateKeeper::begin_replacement() {
  if (snapshotter_.running())
    return {Code::kState,
            "a snapshot is still being copied: call rhz_snapshot_fence before the tensors change"};
  around_.progress.with([&] { around_.state.begin_replacement(); });
  return Status::ok();
}

Result<std::vector<uint64_t>> StateKeeper::snapshots() {
  const Standing now = standing();
  if (now.slot == kAnySlot)
    return Status(Code::kState,
                  "whose snapshots? Ask for a slot (rhz_comm_params.slot_plus_one or RHZ_SLOT)");
  auto list = vault_->list();
  if (!list) return list.status();
  std::vector<uint64_t> revisions;
  for (const recovery::Holding& holding : list.value())
    if (holding.slot == now.slot)
      for (const recovery::SnapshotInfo& info : holding.snapshots)
        revisions.push_back(info.revision);
  return revisions;
}

std::vector<recovery::Holding> StateKeeper::holdings() {
  auto list = vault_->list();
  return list ? std::move(list).value() : std::vector<recovery::Holding>();
}

std::string StateKeeper::next_source(Slot slot) {
  if (!vault_->outlives_process()) return kMembers;
  auto list = vault_->list();
  if (!list) return kMembers;
  for (const recovery::Holding& holding : list.value())
    if (holding.slot == slot && !holding.snapshots.empty())
      return "the vault's snapshot of revision " +
             std::to_string(holding.snapshots.front().revision) + " (rhz_restore)";
  return kMembers;
}

}  // namespace rhz
