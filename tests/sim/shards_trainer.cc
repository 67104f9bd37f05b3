#include "tests/sim/shards_trainer.h"

#include <algorithm>

#include "runtime/digest/digest.h"
#include "tests/sim/shards_oracle.h"

namespace rhz::sim {
namespace {
const recovery::LossContext kContext{"the stage", "the disk"};
}

ShardsTrainer::ShardsTrainer(const ShardsConfig& config, TrainerPort& port, MemberInfo self,
                             std::vector<Holder> vaults, uint64_t dice)
    : config_(config),
      port_(port),
      member_("sim", std::move(self)),
      vaults_(std::move(vaults)),
      dice_(dice) {}

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

bool ShardsTrainer::keeps(uint32_t stage) const {
  const auto& members = member_.view().members;
  const auto first = std::find_if(members.begin(), members.end(), [&](const MemberInfo& member) {
    return stage_of(member.slot) == stage;
  });
  const MemberInfo& keeper = first == members.end() ? members.front() : *first;
  return member_.is_member() && keeper.id == member_.self().id;
}

ShardsTrainer::Job* ShardsTrainer::keeper_job(uint32_t stage) {
  for (auto& [id, job] : jobs_)
    if (job.stage == stage && !job.restorer) return &job;
  return nullptr;
}

template <class What>
recovery::ShardActions ShardsTrainer::each(Job& job, What what) {
  if (job.protector) return what(*job.protector);
  return what(*job.reprotector);
}

void ShardsTrainer::settle(Time now) {
  now_ = now;
  for (auto actions = member_.take_actions(); !actions.empty(); actions = member_.take_actions()) {
    for (MemberAction& action : actions) {
      if (auto* send = std::get_if<MemberSend>(&action))
        port_.send_coordinator(member_.self().id, std::move(send->message));
      if (const auto* seal = std::get_if<SealAction>(&action)) {
        see_view();
        member_.sealed(now, {seal->view.epoch, {GroupReport{}}});
      }
      if (const auto* sync = std::get_if<SyncAction>(&action))
        member_.synced(now, {sync->record.op, sync->record.revision, sync->record.root, {}});
      if (const auto* generation = std::get_if<GenerationAction>(&action))
        see_generation(generation->record);
      if (const auto* refused = std::get_if<ProposalRefusedAction>(&action))
        for (auto& [id, job] : jobs_)
          if (job.stage == refused->refusal.stage && !job.restorer)
            carry_out(id,
                      each(job, [&](auto& core) { return core.refused(refused->refusal.status); }));
    }
  }
}

// Whoever keeps a stage in the newest view goes on; others stop.
void ShardsTrainer::see_view() {
  for (auto& [id, job] : jobs_) {
    if (job.restorer) continue;
    const bool mine = keeps(job.stage);
    carry_out(id, each(job, [&](auto& core) {
                return mine ? core.view(member_.view().epoch)
                            : core.cancel(Status(Code::kState, "somebody else keeps the stage"));
              }));
  }
}

void ShardsTrainer::see_generation(const GenerationRecord& record) {
  newest_[record.stage] = record;
  hopeless_.erase(record.stage);
  for (auto& [id, job] : jobs_)
    if (job.stage == record.stage && !job.restorer)
      carry_out(id, each(job, [&](auto& core) { return core.logged(record); }));
}

void ShardsTrainer::vault_lost(PeerId vault) {
  vaults_.lose(vault);
  for (auto& [id, job] : jobs_) {
    if (job.restorer)
      carry_out(id, job.restorer->vault_lost(vault));
    else
      carry_out(id, each(job, [&](auto& core) { return core.vault_lost(vault); }));
  }
}

void ShardsTrainer::vault_joined(const Holder& holder) {
  vaults_.join(holder);
  for (auto& [id, job] : jobs_) {
    if (job.protector) job.protector->vault_joined(holder);
    if (job.reprotector) job.reprotector->vault_joined(holder);
  }
}

void ShardsTrainer::vault_reply(uint64_t id, PeerId vault, const recovery::VaultReply& reply) {
  const auto at = jobs_.find(id);
  if (at == jobs_.end()) return;
  Job& job = at->second;
  carry_out(id, job.restorer ? job.restorer->handle(vault, reply)
                             : each(job, [&](auto& core) { return core.handle(vault, reply); }));
}

void ShardsTrainer::tick(Time now) {
  now_ = now;
  member_.tick(now);
  member_.beat(now, {});
  settle(now);
  for (auto& [id, job] : jobs_)
    carry_out(id, job.restorer
                      ? job.restorer->step(config_.budget_bytes)
                      : each(job, [&](auto& core) { return core.step(config_.budget_bytes); }));
  end_jobs();
  for (uint32_t stage = 0; stage < config_.stages; ++stage) {
    if (member_.is_member() && keeps(stage) && !keeper_job(stage)) begin_keeping(stage);
    if (newest_.contains(stage) && jobs_.size() < 6 && dice_.chance(0.005)) begin_restore(stage);
  }
  settle(now);
}

void ShardsTrainer::begin_keeping(uint32_t stage) {
  const auto at = newest_.find(stage);
  if (at == newest_.end() || hopeless_[stage]) return protect(stage);
  const auto living = vaults_.living();
  const bool lost = recovery::standing(at->second, living).lost > 0;
  if (!lost && !dice_.chance(0.05))
    return owns(stage) && dice_.chance(0.05) ? protect(stage) : void();
  auto core = recovery::Reprotector::make(at->second, vaults_, member_.view().epoch, kContext);
  Job& job = jobs_[next_job_++];
  job.stage = stage;
  job.reprotector = std::move(core).value();
}

void ShardsTrainer::protect(uint32_t stage) {
  if (!owns(stage)) return;
  const auto at = newest_.find(stage);
  const uint64_t logged = at == newest_.end() ? 0 : at->second.revision;
  const uint64_t revision = logged + 1;
  std::vector<std::byte> state = shards_state(stage, revision, config_.state_bytes);
  recovery::Protector::Options options;
  options.data_shards = config_.data_shards;
  options.parity_shards = config_.parity_shards;
  options.most_shard_bytes = config_.shard_bytes;
  options.window = {4096, 1024};
  recovery::Protector::Job what{stage, revision, tensor_digest(state), state, member_.view().epoch,
                                logged};
  auto core = recovery::Protector::make(what, vaults_, options);
  if (!core) return;  // too few domains live just now
  Job& job = jobs_[next_job_++];
  job.stage = stage;
  job.bytes = std::move(state);  // the heap block that `what` refers to
  job.protector = std::move(core).value();
}

void ShardsTrainer::begin_restore(uint32_t stage) {
  Job job;
  job.stage = stage;
  job.bytes.resize(config_.state_bytes);
  auto core =
      recovery::Restorer::make(newest_.at(stage), vaults_, job.bytes, kContext, {4096, 1024});
  if (!core) return;
  job.restorer = std::move(core).value();
  jobs_[next_job_++] = std::move(job);
}

void ShardsTrainer::carry_out(uint64_t id, recovery::ShardActions actions) {
  Job& job = jobs_.at(id);
  for (recovery::ShardAction& action : actions) {
    if (auto* send = std::get_if<recovery::VaultSend>(&action))
      port_.send_vault(member_.self().id, id, *send);
    if (auto* propose = std::get_if<recovery::ProposeGeneration>(&action))
      member_.propose(now_, std::move(propose->record));
    if (const auto* done = std::get_if<recovery::ShardsDone>(&action); done && job.restorer)
      port_.restored(done->record, job.bytes);
    if (const auto* failed = std::get_if<recovery::ShardsFailed>(&action)) {
      if (job.restorer)
        port_.restore_failed(job.restorer->record(), failed->status);
      else if (failed->status.code() == Code::kStateLost)
        hopeless_[job.stage] = true;
    }
  }
}

void ShardsTrainer::end_jobs() {
  std::erase_if(jobs_, [](const auto& entry) {
    const Job& job = entry.second;
    return job.protector     ? job.protector->over()
           : job.reprotector ? job.reprotector->over()
                             : job.restorer->over();
  });
}

}  // namespace rhz::sim
