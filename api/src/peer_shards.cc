// What a peer does with shards: protects its stage in the vaults of other hosts, and gets it back.
#include "api/src/peer_driver.h"

namespace rhz {
namespace {
constexpr const char* kNextSource =
    "a live member of the stage (rhz_comm_join, rhz_admit), or a checkpoint";
// Of a call that asks for shards because nothing else is there: most runs have none.
constexpr Duration kCoordinatorPatience = std::chrono::seconds(2);

// Nothing is there, as opposed to something that is no good.
bool is_absent(const Status& status) {
  return status.code() == Code::kStateLost || status.code() == Code::kUnreachable ||
         status.code() == Code::kTimeout;
}
}  // namespace

std::unique_ptr<ShardDriver> PeerDriver::make_shards() {
  ShardDriver::Surroundings around;
  around.next_source = kNextSource;
  around.busy = [this] { return busy_.load(std::memory_order_relaxed); };
  around.propose = [this](Epoch epoch, GenerationRecord record) {
    progress_.with([&] {
      if (closed_) return;
      node_->propose(loop_.now(), epoch, std::move(record));
      flush_control();
    });
  };
  around.note = [this](LogLevel level, const std::string& line) {
    progress_.with([&] { recorder_.note(loop_.now(), level, "%s", line.c_str()); });
  };
  return std::make_unique<ShardDriver>(id_, options_.run_id, std::move(around));
}

Status PeerDriver::protect(uint32_t stage, uint64_t revision, StageSlots slots,
                           uint32_t data_shards, uint32_t parity_shards) {
  StateKeeper::Standing now;
  progress_.with([&] {
    now = standing();
    if (slots.count == 0 && now.joined) slots = {0, node_->member().config().max_world, 1};
  });
  if (!now.ended.is_ok()) return now.ended;
  if (!now.joined) return {Code::kState, "not a member yet: call rhz_comm_join first"};
  if (!slots.has(now.slot))
    return {Code::kArgument, "slot " + std::to_string(now.slot.value) +
                                 " is not among those that hold stage " + std::to_string(stage)};
  if (data_shards == 0) data_shards = options_.data_shards;
  if (parity_shards == 0) parity_shards = options_.parity_shards;
  if (auto code = recovery::ErasureCode::make(data_shards, parity_shards); !code)
    return code.status();
  return shards_->protect({stage, slots, data_shards, parity_shards,
                           [this, slot = now.slot, revision](const std::function<bool()>& next) {
                             return keeper_->source(slot, revision, next);
                           }});
}

Result<RestoredShards> PeerDriver::restore_shards(uint32_t stage, uint64_t revision,
                                                  bool unchecked) {
  Slot slot;
  if (Status may = keeper_->may_restore(slot); !may) return may;
  ShardRestoreOptions options;
  options.stage = stage;
  options.revision = revision;
  return restore_shards(std::move(options), unchecked);
}

Result<recovery::SnapshotInfo> PeerDriver::restore(uint64_t revision, bool unchecked) {
  auto local = keeper_->restore(revision, unchecked);
  if (local || !is_absent(local.status())) return local;
  Slot slot;
  if (Status may = keeper_->may_restore(slot); !may) return may;
  ShardRestoreOptions options;
  options.slot = slot;
  options.revision = revision;
  options.patience = kCoordinatorPatience;
  auto restored = restore_shards(std::move(options), unchecked);
  if (restored) return restored.value().snapshot.info;
  const Status& why = restored.status();
  if (!is_absent(why)) return why;
  std::string text = local.status().text() + "; no shards either: " + why.text();
  if (why.code() != Code::kStateLost) text += std::string("; next source: ") + kNextSource;
  return Status(local.status().code(), std::move(text));
}

Result<RestoredShards> PeerDriver::restore_shards(ShardRestoreOptions options, bool unchecked) {
  options.coordinator = coordinator_;
  options.run_id = options_.run_id;
  options.next_source = kNextSource;
  auto restored = rhz::restore_shards(options);
  if (!restored) return restored;
  if (Status put = keeper_->restore_from(restored.value().snapshot, unchecked); !put) return put;
  return restored;
}

}  // namespace rhz
