// Release: when an op returns to its caller, and when nobody can need it any more (rules a and b).
#include <algorithm>
#include <utility>

#include "collectives/communicator.h"
#include "runtime/base/assert.h"
#include "runtime/base/canary.h"

namespace rhz {

using wire::FrameHeader;
using wire::Kind;

// After anything that may have completed the op's own result.
void Communicator::progress(Time now, Op& op) {
  if (op.full && op.unprotected) return drain(now, op);
  if (op.full || !has_all(op)) return;
  op.full = true;
  op.full_at = now;
  op.outcome.run = now - op.begun;
  if (op.spec.kind != OpKind::kReduceScatter) op.executor->drop_originals();  // W10, Q4
  if (op.unprotected) return drain(now, op);
  note_full(op);
  if (!op.executor->is_compared()) untold_.push_back({op.seq, now});
  const bool retained = op.executor->retains();
  const bool alone = ring_of(op.seq).size() == 1;
  const OpSeq seq = op.seq, proven = op.executor->proven();
  const OpKind kind = op.spec.kind;
  if (wave_known(op) && !agrees(op)) diverge(op);
  const bool early = (retained || canary(Rule::kB)) && !alone && !in_doubt_;
  if (early) release(now, op);  // rule b
  take_proof(kind, proven);
  const auto few = [&] { return early && untold_.size() + owed_.size() < limits_.retained_ops; };
  if (!few()) act_on_proofs(now);
  if (few())
    announce_at_ = std::min(announce_at_, now + limits_.done_delay);
  else
    announce(now);
  if (Op* still = find(seq); still && still->full && wave_known(*still)) conclude(now, *still);
  begin_ready(now);
}

// FULL (Q1).  Who needs nothing of it waits for all who do.
bool Communicator::has_all(const Op& op) const {
  if (!op.executor || !op.executor->full()) return false;
  if (op.executor->needs_something()) return true;
  if (sealed_) return false;
  const Blocks& blocks = op.executor->blocks();
  bool any = false;
  for (Rank r : ring_of(op.seq)) {
    const Slot slot = view_.members[r.value].slot;
    if (r == rank_) continue;
    bool needs = false;
    for (uint32_t b = 0; b < blocks.count() && !needs; ++b) needs = blocks.needers(b).has(slot);
    if (needs && !wave_.knows(r, op.seq)) return false;
    any |= needs;
  }
  return any || !has_root(blocks.kind) || blocks.root == view_.members[rank_.value].slot;
}

// A final value of an op, to which all participants have added, says that older ops are full at all of them (W13).
void Communicator::take_proof(OpKind kind, OpSeq upto) {
  proven_upto_ = std::max(proven_upto_, upto);
  // Of such an op all get the same values, and nobody waits for a DONE any more.  (After an install it is said in any case.)
  if (is_uniform(kind)) proven_to_all_ = std::max(proven_to_all_, upto);
}

// Of several ops at once: freeing one is on nobody's way but that of the next.
void Communicator::act_on_proofs(Time now) {
  const auto told = [&](const Untold& untold) { return untold.op < proven_to_all_; };
  if (std::erase_if(untold_, told) > 0 && owed_.empty())
    announce_at_ = untold_.empty() ? kNever : untold_.front().full_at + limits_.done_delay;
  const OpSeq from = std::exchange(acted_upto_, proven_upto_);
  for (auto at = ops_.from(from); at != ops_.end() && (*at).seq < proven_upto_; ++at)
    if (Op& op = *(*at).op; wave_known(op)) conclude(now, op);
}

OpSeq Communicator::full_upto() {
  while (true) {
    Op* op = find(full_upto_);
    if (!ended(full_upto_) && !(op && op->full)) return full_upto_;
    full_upto_ = full_upto_.next();
  }
}

// DONE(epoch): every op that is full here, as a watermark and one by one beyond it.
void Communicator::announce(Time) {
  announce_at_ = kNever;
  untold_.clear();
  if (sealed_) return;
  const OpSeq full = full_upto(), upto = canary(Rule::kI) ? OpSeq(0) : full;
  std::sort(owed_.begin(), owed_.end(), [](const Owed& a, const Owed& b) { return a.op < b.op; });
  bool told = false;
  for (const Owed& owed : owed_) {
    told = &owed == &owed_.back();
    // The watermark does not overtake the digests of ops below it.
    announce_one(owed.op, told ? upto : std::min(upto, owed.op), owed.digest);
  }
  owed_.clear();
  for (const auto [seq, op] : ops_) {
    if (!op->full || seq < full || op->executor->is_compared()) continue;
    announce_one(seq, upto, std::nullopt);
    told = true;
  }
  // Where ops go without a wave, nothing is announced when the one that holds the watermark back ends: what is over beyond it is said now.
  if (!config_.protection) {
    for (OpSeq seq : ended_beyond_) {
      if (seq < full) continue;
      announce_one(seq, upto, std::nullopt);
      told = true;
    }
  }
  if (!told && full != OpSeq(0)) announce_one(OpSeq(full.value - 1), upto, std::nullopt);
}

void Communicator::announce_one(OpSeq op, OpSeq upto, std::optional<uint64_t> digest) {
  if (relayed_) return send_done(successor(), rank_, op, upto, digest);
  for (uint32_t r = 0; r < view_.size(); ++r) send_done(Rank(r), rank_, op, upto, digest);
}

Rank Communicator::successor() const {
  const auto at = std::find(ring_.begin(), ring_.end(), rank_) - ring_.begin();
  return ring_[(static_cast<size_t>(at) + 1) % ring_.size()];
}

// What `about` has said, by this rank or by that one itself.
void Communicator::send_done(Rank to, Rank about, OpSeq op, OpSeq upto, std::optional<uint64_t> digest) {
  if (to == rank_ || to == about) return;
  OutFrame done;
  done.header.kind = Kind::kDone;
  done.header.chunk = ChunkIndex(about.value);
  done.header.full_upto = upto.value;
  if (digest) {
    done.header.flags = wire::kHasDigest;
    done.header.signature = *digest;
  }
  emit(op, to, LaneClass::kExpress, std::move(done));
}

void Communicator::on_done(Time now, const FrameHeader& header) {
  const Rank about(header.chunk.value);
  if (about.value >= view_.size() || about == rank_) return;
  const OpSeq op = header.op_seq, upto(header.full_upto);
  std::optional<uint64_t> digest;
  if (header.flags & wire::kHasDigest) digest = header.signature;
  bool news = wave_.done(about, op, upto);
  if (digest && !ended(op)) news |= wave_.digested(about, op, *digest);
  // Only what is new travels on, so that it stops where it began.
  if (news && relayed_) send_done(successor(), about, op, upto, digest);
  std::vector<OpSeq> waiting;
  for (const auto [seq, open] : ops_)
    if (!open->full && open->executor && !open->executor->needs_something()) waiting.push_back(seq);
  for (OpSeq seq : waiting)
    if (Op* open = find(seq)) progress(now, *open);
  free_known(now);
}

bool Communicator::wave_known(const Op& op) const {
  if (!op.full || sealed_) return false;
  bool one_short = canary(Rule::kWave);
  for (uint32_t r = 0; r < view_.size(); ++r) {
    if (Rank(r) == rank_ || first_op_[r] > op.seq) continue;
    if (!is_known(op, Rank(r)) && !std::exchange(one_short, false)) return false;
  }
  return true;
}

void Communicator::free_known(Time now) {
  bool any = false;
  for (const auto [seq, op] : ops_) {
    if (!wave_known(*op)) continue;
    conclude(now, *op);
    any = true;
  }
  if (any) begin_ready(now);
}

// Terminal for the caller.
void Communicator::release(Time now, Op& op) {
  RHZ_ASSERT("O4", !op.released);
  op.executor->deliver();
  op.released = true;
  if (!op.fail.is_ok()) news_.withdrawn.push_back(op.seq);
  op.fail = Status::ok();
  op.outcome.status = Status::ok();
  op.outcome.last_epoch = epoch_;
  op.outcome.release = now - op.full_at;
  op.outcome.sent_bytes = op.executor->sent_bytes();
  op.outcome.received_bytes = op.executor->received_bytes();
  op.outcome.redone_bytes = op.executor->redone_bytes();
  op.outcome.runs = contributors(op);
  op.outcome.remade = op.executor->is_remade();
  if (op.spec.kind == OpKind::kProbe) return probe_over(now, op);
  if (op.exchange) return exchange_over(op);
  if (op.spec.kind == OpKind::kMeasure) return measured(op, op.outcome.status);
  if (op.completion) op.completion->released(op.outcome);
}

// The wave is known, or the resolution says FINAL: nobody needs this op any more.
void Communicator::free(Time now, Op& op) {
  if (!op.released) release(now, op);
  if (op.completion) op.completion->finalised(Status::ok());
  closed_ |= op.spec.kind == OpKind::kClose;
  erase(op.seq);
}

// Ends without a result.
void Communicator::end(Time now, Op& op, const Status& status) {
  const bool admit = op.spec.kind == OpKind::kAdmit;
  RHZ_ASSERT("O4", !op.released || over_);
  if (admit) {
    admit_open_ = kNoOp;
    op.outcome.joined = status.is_ok() ? admit_joined_ : 0;
  }
  if (op.spec.kind == OpKind::kProbe) probe_open_ = false;
  if (op.exchange) exchange_open_ = false;
  if (op.spec.kind == OpKind::kMeasure && !op.released) measured(op, status);
  if (!op.released) {
    op.released = true;
    op.outcome.status = status;
    op.outcome.last_epoch = epoch_;
    op.outcome.culprit = slot_of(status.culprit);
    if (op.executor) {
      op.outcome.sent_bytes = op.executor->sent_bytes();
      op.outcome.received_bytes = op.executor->received_bytes();
    }
    if (op.completion) op.completion->released(op.outcome);
  }
  if (op.completion) op.completion->finalised(status);
  // Others had something else in mind; what they submit next meets it again.
  if (op.spec.kind == OpKind::kClose && !over_) queue_.push_front({next_handle_++, op.spec, nullptr, now, {}});
  erase(op.seq);
  if (!over_) begin_ready(now);
}

// Every member has the same count of newcomers now: nobody waits, or some member is not ready for them, or all go on to the admit
// op, whose number is the next one.
void Communicator::probe_over(Time now, Op& op) {
  probe_open_ = false;
  if (probe_result_ == 0 || probe_result_ == kNotYet) return op.completion->released(op.outcome);
  Submission admit{op.handle, op.spec, op.completion, op.submitted, {}};
  admit.spec.kind = OpKind::kAdmit;
  op.completion = nullptr;  // the admit op's now
  queue_.push_front(std::move(admit));
  (void)now;  // begun by whoever called, once the probe is out of the way
}

void Communicator::mark_ended(OpSeq seq) {
  ++ended_count_;
  if (seq == ended_upto_) ended_upto_ = ended_upto_.next();
  else ended_beyond_.insert(seq);
  while (!ended_beyond_.empty() && *ended_beyond_.begin() == ended_upto_) {
    ended_beyond_.erase(ended_beyond_.begin());
    ended_upto_ = ended_upto_.next();
  }
}

void Communicator::erase(OpSeq seq) {
  transport_.release_op(group_, seq);
  mark_ended(seq);
  news_.ended.push_back(seq);
  if (news_.admit_begun == seq) news_.admit_begun = kNoOp;
  ops_.erase(seq);
  wave_.forget(seq);
  if (seq < admit_open_) stand_at_admit();
}

// Of a member, or of one that is gone: who is to blame for an op is rarely still there.
Slot Communicator::slot_of(PeerId peer) const {
  for (auto past = past_.rbegin(); past != past_.rend() && peer.valid(); ++past) {
    const std::vector<PeerId>& ids = past->second.ids;
    const auto at = std::find(ids.begin(), ids.end(), peer);
    if (at != ids.end()) return past->second.slots[static_cast<size_t>(at - ids.begin())];
  }
  return kAnySlot;
}

Contributors Communicator::contributors(const Op& op) {
  // Whoever begins an op late may find a partial in it that somebody has left: no rebuild here, and still not everybody alone.
  const bool usual = op.outcome.rebuilds == 0 && is_uniform(op.spec.kind) && all_since_ <= op.seq &&
                     op.spec.rebuild != RebuildMode::kInclude;
  if (usual && all_ranks_ && all_ranks_->front().count == op.executor->layout().chunks) return all_ranks_;
  std::vector<ContributorRun> runs;
  const Blocks& blocks = op.executor->blocks();
  const Layout& layout = op.executor->layout();
  for (const HeldRun& held : op.executor->held_runs()) {
    ContributorRun run{held.first, held.count, {}};
    if (auto at = past_.find(held.lineage); at != past_.end()) {
      const Whom sources = blocks.sources(layout.block_of(held.first));
      for (size_t i = 0; i < at->second.slots.size() && !op.executor->empty(held.first); ++i)
        if (at->second.first_op[i] <= op.seq && sources.has(at->second.slots[i]))
          run.slots.push_back(at->second.slots[i]);
      run.slots.insert(run.slots.end(), held.departed.begin(), held.departed.end());
      std::sort(run.slots.begin(), run.slots.end());  // ranks of a group may have another order
    }
    runs.push_back(std::move(run));
  }
  auto made = std::make_shared<const std::vector<ContributorRun>>(std::move(runs));
  if (usual) all_ranks_ = made;
  return made;
}

}  // namespace rhz
