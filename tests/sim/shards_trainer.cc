#include "tests/sim/shards_trainer.h"

#include <algorithm>

#include "runtime/digest/digest.h"
#include "tests/sim/shards_oracle.h"

namespace rhz::sim {

ShardsTrainer::ShardsTrainer(const ShardsConfig& config, TrainerPort& port, MemberInfo self,
                             std::vector<Holder> vaults, uint64_t dice)
    : config_(config),
      port_(port),
      member_("sim", self),
      vaults_(std::move(vaults)),
      keeper_(self.id, "the disk"),
      dice_(dice) {
  tell_vaults();
}

void ShardsTrainer::connected(Time now) {
  member_.connected(now);
  settle(now);
}

void ShardsTrainer::disconnected(Time now) {
  member_.disconnected(now);
  settle(now);
}

void ShardsTrainer::control(Time now, const ControlMessage& message) {
  member_.receive(now, message);
  settle(now);
}

void ShardsTrainer::peer_died(Time now, PeerId peer) {
  member_.suspect(now, peer, 2, false);
  settle(now);
}

void ShardsTrainer::admit(Time now, OpSeq op) {
  if (!member_.is_member() || member_.sealed_now()) return;
  member_.admit_begun(now, {op, 1, Digest{1}, Digest{}});
  settle(now);
}

void ShardsTrainer::settle(Time now) {
  now_ = now;
  for (auto actions = member_.take_actions(); !actions.empty(); actions = member_.take_actions()) {
    for (MemberAction& action : actions) {
      if (auto* send = std::get_if<MemberSend>(&action))
        port_.send_coordinator(member_.self().id, std::move(send->message));
      if (const auto* seal = std::get_if<SealAction>(&action)) {
        keeper_.view(seal->view);
        settle_keeper();
        member_.sealed(now, {seal->view.epoch, {GroupReport{}}});
      }
      if (const auto* sync = std::get_if<SyncAction>(&action))
        member_.synced(now, {sync->record.op, sync->record.revision, sync->record.root, {}});
      if (const auto* generation = std::get_if<GenerationAction>(&action))
        keeper_.generation(generation->record);
      if (const auto* refused = std::get_if<ProposalRefusedAction>(&action))
        keeper_.refused(refused->refusal);
      settle_keeper();
    }
  }
}

// What the keeper wants done, before it is asked again.
void ShardsTrainer::settle_keeper() {
  for (recovery::KeeperAction& action : keeper_.take_actions()) {
    if (auto* send = std::get_if<recovery::KeeperSend>(&action))
      port_.send_vault(member_.self().id, send->job, send->send);
    auto* propose = std::get_if<recovery::KeeperPropose>(&action);
    if (propose && propose->epoch == member_.view().epoch)
      member_.propose(now_, std::move(propose->record));
  }
}

// All that this one knows to live; whoever else it has known is lost.
void ShardsTrainer::tell_vaults() {
  VaultsMessage message;
  message.complete = true;
  for (const PeerId id : vaults_.living())
    message.vaults.push_back({vaults_.at(vaults_.index_of(id)), {}, 0, 0});
  keeper_.vaults(message);
  settle_keeper();
}

void ShardsTrainer::vault_lost(PeerId vault) {
  vaults_.lose(vault);
  tell_vaults();
  for (auto& [id, job] : restorers_) carry_out(id, job.core->vault_lost(vault));
}

void ShardsTrainer::vault_joined(const Holder& holder) {
  vaults_.join(holder);
  tell_vaults();
}

void ShardsTrainer::vault_reply(uint64_t id, PeerId vault, const recovery::VaultReply& reply) {
  if (id < kFirstRestorer) {
    keeper_.reply(id, vault, reply);
    return settle_keeper();
  }
  if (const auto at = restorers_.find(id); at != restorers_.end())
    carry_out(id, at->second.core->handle(vault, reply));
}

void ShardsTrainer::tick(Time now) {
  now_ = now;
  member_.tick(now);
  member_.beat(now, {});
  settle(now);
  if (dice_.chance(0.05)) keeper_.audit();
  keeper_.step(config_.budget_bytes);
  settle_keeper();
  for (auto& [id, job] : restorers_) carry_out(id, job.core->step(config_.budget_bytes));
  std::erase_if(restorers_, [](const auto& entry) { return entry.second.core->over(); });
  for (uint32_t stage = 0; stage < config_.stages; ++stage) {
    if (member_.is_member() && owns(stage) && dice_.chance(0.05)) protect(stage);
    if (keeper_.newest(stage) && restorers_.size() < 6 && dice_.chance(0.005)) begin_restore(stage);
  }
  settle(now);
}

void ShardsTrainer::protect(uint32_t stage) {
  if (!keeper_.keeps(slots_of(stage))) return;
  const GenerationRecord* newest = keeper_.newest(stage);
  recovery::ShardKeeper::Work work;
  work.stage = stage;
  work.revision = (newest ? newest->revision : 0) + 1;
  std::vector<std::byte> state = shards_state(stage, work.revision, config_.state_bytes);
  work.root = tensor_digest(state);
  work.state = std::make_shared<const std::vector<std::byte>>(std::move(state));
  work.slots = slots_of(stage);
  work.options.data_shards = config_.data_shards;
  work.options.parity_shards = config_.parity_shards;
  work.options.most_shard_bytes = config_.shard_bytes;
  work.options.window = {4096, 1024};
  keeper_.protect(std::move(work));
  settle_keeper();
}

void ShardsTrainer::begin_restore(uint32_t stage) {
  Restoring job;
  job.bytes.resize(config_.state_bytes);
  auto core = recovery::Restorer::make(*keeper_.newest(stage), vaults_, job.bytes,
                                       {"the stage", "the disk"}, {4096, 1024});
  if (!core) return;
  job.core = std::move(core).value();
  restorers_[next_restorer_++] = std::move(job);
}

void ShardsTrainer::carry_out(uint64_t id, recovery::ShardActions actions) {
  Restoring& job = restorers_.at(id);
  for (recovery::ShardAction& action : actions) {
    if (const auto* send = std::get_if<recovery::VaultSend>(&action))
      port_.send_vault(member_.self().id, id, *send);
    if (const auto* done = std::get_if<recovery::ShardsDone>(&action))
      port_.restored(done->record, job.bytes);
    if (const auto* failed = std::get_if<recovery::ShardsFailed>(&action))
      port_.restore_failed(job.core->record(), failed->status);
  }
}

}  // namespace rhz::sim
