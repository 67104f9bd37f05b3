#include "recovery/shards/shard_keeper.h"

#include <algorithm>

namespace rhz::recovery {

PeerId keeper_of(const StageSlots& slots, const View& view) {
  if (view.members.empty()) return {};
  const auto first = std::find_if(view.members.begin(), view.members.end(),
                                  [&](const MemberInfo& m) { return slots.has(m.slot); });
  return (first == view.members.end() ? view.members.front() : *first).id;
}

ShardKeeper::ShardKeeper(PeerId self, std::string next_source)
    : self_(self), next_source_(std::move(next_source)) {}

const GenerationRecord* ShardKeeper::newest(uint32_t stage) const {
  const auto at = stages_.find(stage);
  return at != stages_.end() && at->second.newest ? &*at->second.newest : nullptr;
}

template <class What>
void ShardKeeper::on_job(uint32_t number, Stage& stage, What what) {
  if (stage.protector) return carry_out(number, stage, what(*stage.protector));
  if (stage.reprotector) carry_out(number, stage, what(*stage.reprotector));
}

// Something that a job which failed may have waited for, or that may have lost shards.
void ShardKeeper::changed() {
  for (auto& [number, stage] : stages_) stage.look = true;
}

// ---- what the run says

void ShardKeeper::view(const View& view) {
  view_ = view;
  for (auto& [number, stage] : stages_) {
    const StageSlots slots = stage.work     ? stage.work->slots
                             : stage.newest ? stage.newest->slots
                                            : StageSlots{};
    const bool mine = keeps(slots);
    on_job(number, stage, [&](auto& job) {
      return mine ? job.view(view.epoch)
                  : job.cancel(Status(Code::kState, "somebody else keeps the stage since"));
    });
  }
  changed();
}

void ShardKeeper::generation(const GenerationRecord& record) {
  Stage& stage = stages_[record.stage];
  stage.newest = record;
  on_job(record.stage, stage, [&](auto& job) { return job.logged(record); });
  stage.look = true;
}

void ShardKeeper::refused(const ProposalRefusedMessage& refusal) {
  const auto at = stages_.find(refusal.stage);
  if (at == stages_.end()) return;
  const Stage& stage = at->second;
  const uint64_t revision = stage.work     ? stage.work->revision
                            : stage.newest ? stage.newest->revision
                                           : 0;
  if (revision != refusal.revision) return;
  on_job(refusal.stage, at->second, [&](auto& job) { return job.refused(refusal.status); });
}

void ShardKeeper::vaults(const VaultsMessage& vaults) {
  for (const VaultInfo& vault : vaults.vaults) {
    if (vaults_.index_of(vault.holder.vault) != VaultSet::kNone) continue;
    vaults_.join(vault.holder);
    for (auto& [number, stage] : stages_) {
      if (stage.protector) stage.protector->vault_joined(vault.holder);
      if (stage.reprotector) stage.reprotector->vault_joined(vault.holder);
    }
  }
  if (vaults.complete)
    for (const PeerId id : vaults_.living()) {
      const bool lives =
          std::any_of(vaults.vaults.begin(), vaults.vaults.end(),
                      [&](const VaultInfo& vault) { return vault.holder.vault == id; });
      if (lives) continue;
      vaults_.lose(id);
      for (auto& [number, stage] : stages_)
        on_job(number, stage, [&](auto& job) { return job.vault_lost(id); });
    }
  changed();
}

void ShardKeeper::reply(uint64_t job, PeerId vault, const VaultReply& reply) {
  for (auto& [number, stage] : stages_)
    if (stage.job == job)
      return on_job(number, stage, [&](auto& core) { return core.handle(vault, reply); });
}

// ---- what the program says

void ShardKeeper::protect(Work work) {
  const uint32_t number = work.stage;
  const auto answer = [&](Status status) {
    actions_.emplace_back(KeeperProtected{number, work.revision, std::move(status)});
  };
  if (!keeps(work.slots)) return answer(Status::ok());
  Stage& stage = stages_[number];
  if (stage.newest && stage.newest->slots != work.slots)
    return answer({Code::kArgument,
                   "stage " + std::to_string(number) + " is protected for other slots already"});
  if ((stage.protector && !stage.over) || stage.wanted)
    return answer({Code::kState, "another revision of the stage is being protected"});
  stage.wanted = std::move(work);
}

void ShardKeeper::audit() {
  for (auto& [number, stage] : stages_) stage.audit = true;
}

void ShardKeeper::cancel(const Status& why) {
  for (auto& [number, stage] : stages_)
    on_job(number, stage, [&](auto& job) { return job.cancel(why); });
}

// ---- jobs

bool ShardKeeper::computing() const {
  return std::any_of(stages_.begin(), stages_.end(), [](const auto& entry) {
    const Stage& stage = entry.second;
    if (stage.protector && !stage.over) return stage.protector->computing();
    if (stage.reprotector && !stage.over) return stage.reprotector->computing();
    return stage.over || stage.wanted || stage.look || stage.audit;
  });
}

void ShardKeeper::step(uint64_t budget_bytes) {
  for (auto& [number, stage] : stages_) {
    if (std::exchange(stage.over, false)) {
      stage.protector.reset();
      stage.reprotector.reset();
      stage.work.reset();
    }
    if (!stage.protector && !stage.reprotector) begin(number, stage);
    on_job(number, stage, [&](auto& job) { return job.step(budget_bytes); });
  }
}

void ShardKeeper::begin(uint32_t number, Stage& stage) {
  // What is sealed goes first: it is all that there is, should a vault more be lost.
  const bool look = std::exchange(stage.look, false), audit = std::exchange(stage.audit, false);
  if ((look || audit) && stage.newest && keeps(stage.newest->slots)) {
    const bool lost = look && standing(*stage.newest, vaults_.living()).lost > 0;
    if (lost || audit) return begin_reprotector(number, stage);
  }
  if (stage.wanted) begin_protector(number, stage);
}

void ShardKeeper::begin_protector(uint32_t number, Stage& stage) {
  Work work = *std::exchange(stage.wanted, std::nullopt);
  if (!keeps(work.slots)) {
    actions_.emplace_back(KeeperProtected{
        number, work.revision, {Code::kState, "somebody else keeps the stage since"}});
    return;
  }
  const uint64_t logged = stage.newest ? stage.newest->revision : 0;
  if (logged == work.revision && stage.newest->root == work.root) {  // a trainer that came back
    actions_.emplace_back(KeeperProtected{number, work.revision, Status::ok()});
    return;
  }
  auto made = Protector::make(
      {number, work.revision, work.root, *work.state, view_.epoch, logged, work.slots}, vaults_,
      work.options);
  if (!made) {
    actions_.emplace_back(KeeperProtected{number, work.revision, made.status()});
    return;
  }
  stage.work = std::move(work);
  stage.protector = std::move(made).value();
  stage.job = next_job_++;
}

void ShardKeeper::begin_reprotector(uint32_t number, Stage& stage) {
  auto made = Reprotector::make(*stage.newest, vaults_, view_.epoch,
                                {"stage " + std::to_string(number), next_source_});
  if (!made) return repaired(number, stage, made.status());
  stage.reprotector = std::move(made).value();
  stage.job = next_job_++;
}

void ShardKeeper::carry_out(uint32_t number, Stage& stage, ShardActions&& actions) {
  const uint64_t job = stage.job;
  for (ShardAction& action : actions) {
    if (auto* send = std::get_if<VaultSend>(&action))
      actions_.emplace_back(KeeperSend{job, std::move(*send)});
    else if (auto* propose = std::get_if<ProposeGeneration>(&action))
      actions_.emplace_back(KeeperPropose{view_.epoch, std::move(propose->record)});
    else if (const auto* failed = std::get_if<ShardsFailed>(&action))
      ended(number, stage, failed->status);
    else if (std::holds_alternative<ShardsDone>(action))
      ended(number, stage, Status::ok());
  }
}

// The last action of a job.
void ShardKeeper::ended(uint32_t number, Stage& stage, const Status& status) {
  if (stage.protector) {
    actions_.emplace_back(KeeperProtected{number, stage.work->revision, status});
  } else {
    repaired(number, stage, status);
  }
  stage.over = true;
}

void ShardKeeper::repaired(uint32_t number, const Stage& stage, Status status) {
  actions_.emplace_back(
      KeeperRepaired{number, stage.newest->revision, stage.newest->placement, std::move(status)});
}

}  // namespace rhz::recovery
