// Seal and install: what a change of view does to the ops in flight.
#include <algorithm>

#include "collectives/communicator.h"
#include "runtime/agreement/resolve.h"
#include "runtime/base/assert.h"
#include "runtime/base/canary.h"

namespace rhz {
namespace {
constexpr size_t kMaxPast = 1024;

Status unprotected_loss() {
  return Status(Code::kPeerLost, "the view changed, and the run has no protection (RHZ_PROTECTION=off)");
}
}  // namespace

// FAILs that the change of view itself raises; they travel in the report.
void Communicator::fail_for(const View& next) {
  for (const auto [seq, op] : ops_) {
    if (op->released || !op->executor) continue;
    if (next.size() < config_.min_world && !ignores_min_world(op->spec.kind))
      fail(*op, too_small(next.size()));  // rule 8
    if (op->unprotected)
      fail(*op, unprotected_loss());
    if (op->spec.rebuild != RebuildMode::kFail) continue;
    for (Rank r : ring_of(seq)) {
      const MemberInfo& member = view_.members[r.value];
      if (next.contains(member.id)) continue;
      Status lost(Code::kPeerLost, "slot " + std::to_string(member.slot.value) +
                                       " died, and the op's rebuild mode is fail");
      lost.culprit = member.id;
      fail(*op, std::move(lost));
    }
  }
}

void Communicator::freeze(Time now) {
  if (sealed_) return;
  sealed_ = true;
  for (const auto [seq, op] : ops_) {
    op->frozen_at = now;
    if (!op->executor) continue;
    op->executor->freeze();
    op->outcome.held_bytes = op->executor->held_bytes();
  }
}

// The wave of its last op says so; what that op proves does not end with the epoch.
bool Communicator::is_closed_by_all() const {
  if (closed_) return true;
  for (const auto [seq, op] : ops_)
    if (op->spec.kind == OpKind::kClose && op->full) return true;
  return false;
}

GroupReport Communicator::seal(const View& next) {
  fail_for(next);
  GroupReport group;
  group.group = group_;
  group.ended_upto = canary(Rule::kI) ? OpSeq(0) : ended_upto_;
  group.begun_upto = next_seq_;
  group.closed = !canary(Rule::kG6) && is_closed_by_all();
  for (OpSeq seq : ended_beyond_) {
    OpReport r;
    r.seq = seq;
    r.begun = r.freed = true;
    group.open.push_back(std::move(r));
  }
  for (const auto [seq, op] : ops_) {
    OpReport r;
    r.seq = seq;
    r.begun = true;
    r.admit = op->spec.kind == OpKind::kAdmit;
    r.mode = op->spec.rebuild;
    r.signature = op->signature;
    if (!canary(Rule::kAbort1)) r.fail = op->fail;
    if (op->executor) {
      r.full = op->full;
      r.blocks = op->executor->blocks();
      r.chunks = op->executor->layout().chunks;
      r.held = op->executor->held_runs();
      if (r.mode == RebuildMode::kInclude) r.partials = op->executor->partial_runs(survivors(next, seq));
    }
    group.open.push_back(std::move(r));
  }
  std::sort(group.open.begin(), group.open.end(),
            [](const OpReport& a, const OpReport& b) { return a.seq < b.seq; });
  return group;
}

// Slots, rising, of the op's participants that are in the next view as well.
std::vector<Slot> Communicator::survivors(const View& next, OpSeq seq) const {
  std::vector<Slot> slots;
  for (uint32_t r = 0; r < view_.size(); ++r)
    if (first_op_[r] <= seq && next.contains(view_.members[r].id)) slots.push_back(view_.members[r].slot);
  std::sort(slots.begin(), slots.end());
  return slots;
}

void Communicator::forget_epoch() {
  decisions_.clear();
  stash_.clear();
  early_grants_.clear();
  wave_.reset(view_.size());
  owed_.clear();
  in_doubt_ = false;
}

void Communicator::remember(const Communicator& parent, const std::vector<PeerId>& members, Epoch since) {
  for (auto at = parent.past_.lower_bound(since); at != parent.past_.end(); ++at) {
    const std::vector<PeerId>& ids = at->second.ids;
    Past& past = past_[at->first];
    for (PeerId member : members) {
      const auto found = std::find(ids.begin(), ids.end(), member);
      if (found == ids.end()) continue;
      past.ids.push_back(member);
      past.slots.push_back(at->second.slots[static_cast<size_t>(found - ids.begin())]);
      past.first_op.push_back(OpSeq(0));
    }
  }
}

void Communicator::install(Time now, const View& view, const GroupResolution& group,
                           uint32_t world) {
  RHZ_ASSERT("V1", view.epoch > epoch_ && group.group == group_);
  const bool newborn = epoch_ == Epoch(0);
  admit_joined_ = 0;
  for (const MemberInfo& member : view.members) admit_joined_ += !newborn && !view_.contains(member.id);
  view_ = view;
  world_ = world;
  epoch_ = view.epoch;
  rank_ = view.rank_of(self_);
  RHZ_ASSERT("V1", rank_ != kNoRank);
  routed_ = !group.ring.empty();
  ring_ = routed_ ? group.ring : make_ring(view_.size(), {});
  relayed_ = group.relayed;
  first_op_ = group.first_op;
  all_since_ = *std::max_element(first_op_.begin(), first_op_.end());
  schedules_ = {};
  all_ranks_.reset();
  Past& past = past_[epoch_] = {};
  for (const MemberInfo& member : view.members) {
    past.ids.push_back(member.id);
    past.slots.push_back(member.slot);
  }
  past.first_op = first_op_;
  if (past_.size() > kMaxPast) past_.erase(past_.begin());
  chooser_.install(config_, first_op_);
  if (newborn) {
    next_seq_ = ended_upto_ = full_upto_ = first_op_[rank_.value];
    measure_from(next_seq_);
  }
  forget_epoch();
  sealed_ = false;
  install_group(now, group);
}

void Communicator::install_group(Time now, const GroupResolution& group) {
  busy_ = true;  // nothing is begun before all decisions are taken note of
  for (const AnsweredFail& answered : group.answered)
    if (answered.peer == self_)
      if (Op* op = find(answered.seq)) op->fail = Status::ok();
  std::vector<OpSeq> open;
  for (const auto [seq, op] : ops_) {
    open.push_back(seq);
    ++op->outcome.rebuilds;
    op->outcome.rebuild += now - op->frozen_at;
  }
  // Ends first, so that what they make room for is begun under this view.
  for (const OpDecision& decision : group.ops)
    if (decision.outcome != OpDecision::Outcome::kChunks) apply(now, decision);
  for (const OpDecision& decision : group.ops)
    if (decision.outcome == OpDecision::Outcome::kChunks) apply(now, decision);
  for (OpSeq seq : open) {
    Op* op = find(seq);
    const bool named = std::any_of(group.ops.begin(), group.ops.end(),
                                   [&](const OpDecision& d) { return d.seq == seq; });
    RHZ_ASSERT("F", !op || !op->executor || named);
  }
  if (group.admit_ended != kNoOp) {
    admit_ended_ = group.admit_ended;
    if (Op* op = find(admit_open_); op && admit_open_ <= admit_ended_) end(now, *op, Status::ok());
  }
  for (const auto& [seq, op] : ops_)
    if (op->full) note_full(*op);
  for (OpSeq seq : open)
    if (Op* op = find(seq); op && op->executor) progress(now, *op);
  if (!canary(Rule::kW2)) announce(now);  // W2: DONE again, in this epoch
  pump(now);
  free_known(now);
  busy_ = false;
  begin_ready(now);
}

void Communicator::apply(Time now, const OpDecision& decision) {
  using Outcome = OpDecision::Outcome;
  if (ended(decision.seq)) return;
  Op* op = find(decision.seq);
  if (decision.outcome == Outcome::kAbort) {
    const bool returned = op && op->executor && (op->released || op->executor->retains());  // somewhere
    if (returned && decision.reason.code() == Code::kDiverged) give_up(decision.reason);
    else if (op) end(now, *op, decision.reason);
    else if (!canary(Rule::kAbort6)) aborted_[decision.seq] = decision.reason;  // rule 6
    return;
  }
  if (decision.outcome == Outcome::kFinal) {
    // Others have returned it, and nothing of it is left.
    if (op && op->unprotected && !op->full) return end(now, *op, unprotected_loss());
    RHZ_ASSERT("W5", op && (op->full || !op->executor->needs_something()));
    if (!op->full) op->full_at = now;
    return free(now, *op);
  }
  if (!op) {
    decisions_[decision.seq] = decision;
    return;
  }
  const bool was_full = op->full;
  start(now, *op, &decision);
  if (was_full && !op->executor->full()) {
    RHZ_ASSERT("O1", !op->released);
    RHZ_ASSERT("W13", op->seq >= proven_upto_);
    op->full = false;
    // The watermark said that it was full; in this epoch it is not.
    full_upto_ = std::min(full_upto_, op->seq);
  }
}

void Communicator::admit_nobody(Time now, OpSeq seq) {
  admit_ended_ = admit_ended_ == kNoOp ? seq : std::max(admit_ended_, seq);
  admit_joined_ = 0;
  if (Op* op = find(admit_open_); op && admit_open_ <= admit_ended_) end(now, *op, Status::ok());
}

void Communicator::end_all(Time now, const Status& status) {
  if (over_) return;
  over_ = true;
  over_status_ = status;
  sealed_ = true;
  while (!ops_.empty()) end(now, *(*ops_.begin()).op, status);
  while (!queue_.empty()) {
    Submission next = std::move(queue_.front());
    queue_.pop_front();
    OpOutcome outcome;
    outcome.status = status;
    if (!next.completion) continue;
    next.completion->released(outcome);
    next.completion->finalised(status);
  }
}

}  // namespace rhz
