// Submission, beginning, frames.
#include "collectives/communicator.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/assert.h"
#include "runtime/base/canary.h"

namespace rhz {
using wire::FrameHeader;
using wire::Kind;

Communicator::Communicator(PeerId self, GroupId group, Transport& transport, BufferPool& pool, Window& window,
                           CommunicatorLimits limits)
    : self_(self), group_(group), transport_(transport), pool_(pool), window_(window), limits_(limits) {}

Communicator::~Communicator() = default;

Communicator::Handle Communicator::submit(Time now, const OpSpec& spec, OpCompletion* completion) {
  const Handle handle = next_handle_++;
  if (over_) {
    OpOutcome outcome;
    outcome.status = over_status_;
    completion->released(outcome);
    completion->finalised(over_status_);
    return handle;
  }
  if (busy_ || !queue_.empty() || !may_begin() || next_seq_ == measure_at_ || spec.varying) {
    queue_.push_back({handle, spec, completion, now, {}});
    begin_ready(now);
    return handle;
  }
  busy_ = true;
  begin(now, {handle, spec, completion, now, {}});
  busy_ = false;
  begin_ready(now);
  return handle;
}

std::optional<OpSeq> Communicator::seq_of(Handle handle) const {
  for (const auto [seq, op] : ops_)
    if (op->handle == handle) return seq;
  return std::nullopt;
}

void Communicator::cancel(Time now, Handle handle) {
  const Status status(Code::kCancelled, "cancelled by slot " +
                                            (rank_ == kNoRank ? std::string("?")
                                                              : std::to_string(view_.members[rank_.value].slot.value)));
  for (Submission& submission : queue_)
    if (submission.handle == handle) submission.fail = status;
  for (const auto [seq, op] : ops_)
    if (op->handle == handle && !op->released && op->spec.kind != OpKind::kAdmit) fail(*op, status);
  (void)now;
}

void Communicator::input_there(Time now, Handle handle, uint64_t bytes) {
  for (Submission& submission : queue_)
    if (submission.handle == handle) submission.spec.input_there = std::max(submission.spec.input_there, bytes);
  for (const auto [seq, op] : ops_) {
    if (op->handle != handle || !op->executor) continue;
    op->executor->input_there(bytes);
    if (sealed_) return;
    pump(now);
    if (Op* still = find(seq)) progress(now, *still);
    return;
  }
}

uint64_t Communicator::result_there(Handle handle) {
  for (const auto [seq, op] : ops_) {
    const bool first = op->exchange || op->spec.kind == OpKind::kProbe;  // of two ops under one handle
    if (op->handle == handle && op->executor && !op->released && !first) return op->executor->result_there();
  }
  return 0;
}

// The last op of the group is one that all members submit when they close it.
void Communicator::close(Time now) {
  if (closing_ || over_) return;
  closing_ = true;
  Status closed(Code::kClosed, "slot " + std::to_string(view_.members[rank_.value].slot.value) + " closed the communicator");
  closed.culprit = self_;
  for (const auto [seq, op] : ops_)
    if (op->spec.kind != OpKind::kMeasure) fail(*op, closed);
  for (Submission& submission : queue_)
    if (submission.fail.is_ok()) submission.fail = closed;
  OpSpec last;
  last.kind = OpKind::kClose;
  submit(now, last, nullptr);
}

bool Communicator::ended(OpSeq seq) const {
  return seq < ended_upto_ || ended_beyond_.contains(seq);
}

// Good until the next call.
const std::vector<Rank>& Communicator::ring_of(OpSeq seq) const {
  if (all_since_ <= seq) return ring_;
  part_of_ring_.clear();
  for (Rank r : ring_)
    if (first_op_[r.value] <= seq) part_of_ring_.push_back(r);
  return part_of_ring_;
}

// Made once for all ops of one algorithm in an epoch.
std::shared_ptr<const Schedule> Communicator::schedule(Algorithm algorithm, const std::vector<Rank>& ring) {
  auto make = [&] { return std::make_shared<const Schedule>(make_allreduce(algorithm, view_, ring, rank_)); };
  if (&ring != &ring_) return make();
  std::shared_ptr<const Schedule>& made = schedules_[static_cast<size_t>(algorithm)];
  if (!made) made = make();
  return made;
}

bool Communicator::may_begin() const {
  const bool stands = admit_open_ != kNoOp && !canary(Rule::kJoin2);
  return !sealed_ && !over_ && !probe_open_ && !stands && !exchange_open_ && !measuring_ &&
         ops_.size() < limits_.open_ops;
}

void Communicator::begin_ready(Time now) {
  if (busy_) return;  // whoever is at it looks at the queue again
  busy_ = true;
  while (!queue_.empty() && may_begin()) {
    if (is_measuring_due()) {
      begin(now, measurement(now));
      continue;
    }
    Submission next = std::move(queue_.front());
    queue_.pop_front();
    if (next.spec.varying && !next.spec.varying->is_known()) next.spec = exchange_of(next);
    begin(now, std::move(next));
  }
  busy_ = false;
  pump(now);  // what ended may have made room
}

void Communicator::begin(Time now, Submission&& submission) {
  OwnedOp op = spare_ops_.make();
  const OpSeq seq = next_seq_;
  next_seq_ = seq.next();
  op->seq = seq;
  op->handle = submission.handle;
  op->spec = submission.spec;
  op->completion = submission.completion;
  op->exchange = std::move(submission.exchange);
  if (op->exchange) exchange_open_ = true;
  if (op->spec.kind == OpKind::kAdmit) measure_from(next_seq_);
  op->submitted = submission.submitted;
  op->begun = now;
  op->outcome.seq = op->seq;
  op->outcome.first_epoch = epoch_;
  op->outcome.wait = now - submission.submitted;
  if (op->spec.timeout > Duration::zero()) op->deadline = now + op->spec.timeout;
  if (op->spec.kind == OpKind::kProbe) {
    probe_open_ = true;
    probe_value_ = waiting_;
    op->spec.send = reinterpret_cast<const std::byte*>(&probe_value_);
    op->spec.recv = reinterpret_cast<std::byte*>(&probe_result_);
  }
  if (auto at = aborted_.find(seq); at != aborted_.end()) {  // rule 6
    const Status reason = at->second;
    aborted_.erase(at);
    return end(now, ops_.add(seq, std::move(op)), reason);
  }
  Op& begun = ops_.add(seq, std::move(op));
  if (begun.spec.kind == OpKind::kAdmit) return begin_admit(now, begun);
  if (!make_executor(begun)) fail(begun, Status(Code::kMemory, "no memory for the result"));
  const auto decision = decisions_.extract(seq);
  const bool decided = !decision.empty();
  // Nothing of an op that cannot be moves, so that rule 3 has no reason to refuse: a world of one would be done at once.
  const Status why_not = submission.refused.is_ok() ? unfit(begun) : submission.refused;
  if (why_not.is_ok() || decided) start(now, begun, decided ? &decision.mapped() : nullptr);
  if (!why_not.is_ok()) fail(begun, why_not);
  if (!submission.fail.is_ok()) fail(begun, submission.fail);
  if (!carried_.is_ok()) fail(begun, std::exchange(carried_, Status::ok()));
  replay_early(now, begun);
  pump(now);
  if (Op* still = find(seq)) progress(now, *still);
}

bool Communicator::make_executor(Op& op) {
  const Blocks blocks = blocks_of(op.spec, op.seq);
  op.signature = signature_of(op.spec, blocks);
  const auto element_bytes = static_cast<uint32_t>(reduce::size_of(op.spec.dtype));
  const Layout layout = op.spec.varying ? make_layout(counts_of(op.spec, blocks), element_bytes, config_)
                                        : make_layout(op.spec.count, element_bytes, config_, blocks.count());
  const Slot self = view_.members[rank_.value].slot;
  op.outcome.chunk_elements = layout.chunk_elements;
  op.outcome.block_elements = layout.count;
  op.outcome.chunks_of_block = layout.chunks_of_block();
  BlockRange& mine = op.outcome.result_blocks;
  op.outcome.bytes = 0;
  for (uint32_t b = 0; b < layout.blocks; ++b) {
    if (!blocks.needers(b).has(self)) continue;
    if (mine.count == 0) mine.first = b;
    if (mine.count == 1) mine.stride = b - mine.first;
    ++mine.count;
    RHZ_ASSERT("blocks are equally far apart", mine[mine.count - 1] == b);
    op.outcome.bytes += layout.count_of(b) * element_bytes;
    if (op.spec.varying) op.outcome.block_counts.push_back(layout.count_of(b));
  }
  op.unprotected = !config_.protection && may_go_unprotected(op.spec);
  Executor::Care care;
  care.retain = may_retain(blocks.kind) && op.outcome.bytes <= config_.retain_bytes && !op.unprotected;
  care.redo = !op.unprotected;
  care.verify = op.unprotected ? Verify::kOff : config_.verify;
  Outbox& outbox = *this;
  op.executor.emplace(op.seq, op.spec, blocks, self, layout, care, pool_, outbox, &op.books);
  return op.executor->prepare();
}

// The layout is that of the view in which the op begins here, with its root in any case.
Blocks Communicator::blocks_of(const OpSpec& spec, OpSeq seq) const {
  Blocks blocks{spec.kind, has_root(spec.kind) ? spec.root : kAnySlot, {}};
  if (!has_layout(spec.kind)) return blocks;
  for (uint32_t r = 0; r < view_.size(); ++r)
    if (first_op_[r] <= seq) blocks.layout.push_back(view_.members[r].slot);
  if (!has_root(spec.kind) || std::find(blocks.layout.begin(), blocks.layout.end(), spec.root) != blocks.layout.end())
    return blocks;
  const auto at = std::find_if(blocks.layout.begin(), blocks.layout.end(), [&](Slot slot) { return slot > spec.root; });
  blocks.layout.insert(at, spec.root);
  return blocks;
}

// Why the op cannot be carried out in this view (rule 8; docs/protocol.md, "Other collectives").
Status Communicator::unfit(const Op& op) const {
  const OpKind kind = op.spec.kind;
  if (world_ < config_.min_world && !ignores_min_world(kind)) return too_small(world_);
  if (!routed_)  // the coordinator learns of it by this
    return Status(Code::kPeerLost, "two members of the group cannot reach each other, and no ring avoids that");
  const Blocks& blocks = op.executor->blocks();
  if (has_root(kind)) {
    const std::vector<Rank>& ring = ring_of(op.seq);
    const bool there = std::any_of(ring.begin(), ring.end(), [&](Rank r) {
      return view_.members[r.value].slot == blocks.root;
    });
    if (!there)
      return Status(Code::kPeerLost, "the root, slot " + std::to_string(blocks.root.value) + ", is no member");
  }
  if (!has_room_for(op) && blocks.layout.size() != op.spec.ranks) {
    return Status(Code::kPeerLost, "the op spans " + std::to_string(blocks.layout.size()) +
                                       " ranks, its buffers are for " + std::to_string(op.spec.ranks) +
                                       ": look at the view and submit it again");
  }
  if (!has_room_for(op)) {
    return Status(Code::kPeerLost, "the ranks have moved since the op was submitted, and its blocks differ in size: look at the "
                                   "view and submit it again");
  }
  return Status::ok();
}

// Whether the buffers are for the blocks that this op has here.  One of which that is not so never moves, whatever was decided of it.
bool Communicator::has_room_for(const Op& op) const {
  const Blocks& blocks = op.executor->blocks();
  if (!has_layout(op.spec.kind)) return true;
  if (blocks.layout.size() != op.spec.ranks) return false;
  return !op.spec.varying || blocks.layout[op.spec.varying->rank] == view_.members[rank_.value].slot;
}

void Communicator::begin_admit(Time now, Op& begun) {
  begun.deadline = kNever;  // the coordinator bounds it
  admit_open_ = begun.seq;
  if (admit_ended_ != kNoOp && admit_ended_ >= begun.seq) return end(now, begun, Status::ok());
  act_on_proofs(now);
  announce(now);  // what others stand at it for
  stand_at_admit();
}

// Older results are those of all members by now; what a newcomer gets of them has been compared as well.
void Communicator::stand_at_admit() {
  if (admit_open_ != kNoOp && !ops_.empty() && (*ops_.begin()).seq == admit_open_)
    news_.admit_begun = admit_open_;
}

// (Re)starts the executor in the installed epoch.
void Communicator::start(Time now, Op& op, const OpDecision* decision) {
  if (!has_room_for(op)) return;
  const bool rebuilt = decision && decision->outcome == OpDecision::Outcome::kChunks;
  Executor::Stage stage{epoch_, &view_, rank_, ring_of(op.seq), !relayed_, nullptr};
  if (is_uniform(op.spec.kind)) {
    // Only the ring is known to avoid broken edges; what is redone goes round it in any case.
    // Whose input is in a partial is known of the ring alone.
    const bool includes = op.spec.rebuild == RebuildMode::kInclude && op.spec.algorithm == Algorithm::kAuto &&
                          op.outcome.bytes > wire::kEagerBytes;
    const Algorithm algorithm = rebuilt || relayed_ || includes
                                    ? Algorithm::kRing
                                    : chooser_.choose(op.spec.algorithm, op.outcome.bytes, view_, stage.ring, op.seq);
    if (!rebuilt) op.outcome.algorithm = algorithm;
    stage.schedule = schedule(algorithm, stage.ring);
    stage.by_ring = algorithm == Algorithm::kRing;
  }
  busy_from_ = std::min(busy_from_, op.seq);
  op.executor->start(stage, rebuilt ? decision : nullptr);
  op.tell_at = now + limits_.quiet;
  if (!op.executor->eager()) grant(op, op.executor->sources());
}

// Tells them that the op has begun here, and which one it is.
void Communicator::grant(const Op& op, const std::vector<Rank>& ranks) {
  for (Rank rank : ranks) {
    OutFrame grant;
    grant.header.kind = Kind::kGrant;
    emit(op.seq, rank, LaneClass::kExpress, std::move(grant));
  }
}

// Grants and eager frames that came before the op was begun here.
void Communicator::replay_early(Time now, Op& op) {
  const OpSeq seq = op.seq;
  for (auto at = early_grants_.lower_bound({seq, Rank(0)});
       at != early_grants_.end() && at->first.first == seq; at = early_grants_.erase(at))
    if (same_signature(op, at->first.second, at->second)) op.executor->granted(at->first.second);
  auto at = stash_.find(seq);
  if (at == stash_.end()) return;
  std::vector<Stashed> frames = std::move(at->second);
  stash_.erase(at);
  for (Stashed& frame : frames) {
    Op* still = find(seq);
    if (!still) return;
    Landing landing;
    landing.into = frame.payload.data();
    landing.keep = std::move(frame.payload);
    landing.note = kStashed;
    deliver_to(now, *still, frame.from, frame.header, std::move(landing));
  }
}

// Older ops first: their chunks are finished before those of newer ones are begun.  What newer ones have on the way holds no older one
// up: most algorithms finish a chunk only when all ranks have begun it, so two ranks with their windows full of different ops would
// wait for each other.
void Communicator::pump(Time now) {
  if (sealed_) return;
  uint32_t older = 0;
  bool leading = true;
  std::array<std::byte, 128> room;
  std::pmr::monotonic_buffer_resource memory(room.data(), room.size());
  std::pmr::vector<OpSeq> completed(&memory);  // everything that was to come had come before they were begun
  for (auto at = ops_.from(busy_from_); at != ops_.end(); ++at) {
    const auto [seq, op] = *at;
    // Who has its own result may still owe others the beginning of theirs (reduce-scatter).
    if (!op->executor || (op->full && op->executor->has_originated())) {
      if (leading) busy_from_ = seq.next();
      continue;
    }
    leading = false;
    const Layout& layout = op->executor->layout();
    window_.take(true);
    const uint32_t window = window_.chunks(layout.chunk_elements * layout.element_bytes);
    if (older >= window) break;
    op->executor->originate(window - older);
    older += op->executor->outstanding();
    if (!op->full && has_all(*op)) completed.push_back(seq);
  }
  if (leading) window_.take(false);
  for (OpSeq seq : completed)
    if (Op* op = find(seq)) progress(now, *op);
}

void Communicator::fail(Op& op, Status status) {
  if (op.released || !op.fail.is_ok()) return;
  op.fail = std::move(status);
  if (!op.fail.culprit.valid()) op.fail.culprit = self_;
  op.fail.epoch = epoch_;
  news_.failed.push_back({op.seq, op.fail});
}

Status Communicator::too_small(uint32_t world) const {
  return Status(Code::kWorldTooSmall, "the view has " + std::to_string(world) +
                                          " members, min_world is " +
                                          std::to_string(config_.min_world));
}

bool Communicator::ignores_min_world(OpKind kind) {
  return canary(Rule::kAbort8) || kind == OpKind::kProbe || kind == OpKind::kClose || kind == OpKind::kMeasure;
}

void Communicator::out_of_memory(OpSeq seq) {
  if (Op* op = find(seq)) fail(*op, Status(Code::kMemory, "no memory for a frame"));
}

void Communicator::emit(OpSeq seq, Rank to, LaneClass lane, OutFrame frame) {
  RHZ_ASSERT("E", !sealed_);
  frame.header.epoch = epoch_;
  frame.header.group = group_;
  frame.header.op_seq = seq;
  if (frame.header.kind != Kind::kDone)
    if (Op* op = find(seq)) frame.header.signature = op->signature;
  transport_.send(view_.members[to.value].id, lane, std::move(frame));
}

// Rule 9: a frame with another signature is dropped, and fails the op on every rank.
bool Communicator::same_signature(Op& op, Rank from, uint64_t signature) {
  if (signature == op.signature) return true;
  const MemberInfo& other = view_.members[from.value];
  if (closes(signature) || closes(op.signature)) {
    const MemberInfo& who = closes(signature) ? other : view_.members[rank_.value];
    Status closed(Code::kClosed, "slot " + std::to_string(who.slot.value) + " has closed the communicator");
    closed.culprit = who.id;
    fail(op, std::move(closed));
    return false;
  }
  if (canary(Rule::kAbort9)) return false;
  const std::string theirs = describe_signature(signature), ours = describe_signature(op.signature);
  Status status(Code::kMismatch,
                "slot " + std::to_string(other.slot.value) + " submitted " + theirs + "; slot " +
                    std::to_string(view_.members[rank_.value].slot.value) + " submitted " + ours +
                    (theirs == ours ? ", with another count, root or set of ranks" : "") +
                    "; every rank must submit the same ops in the same order");
  status.culprit = other.id;
  fail(op, std::move(status));
  return false;
}

Landing Communicator::on_header(Rank from, const FrameHeader& header) {
  Landing landing;
  if (over_) return landing;
  if (header.epoch > epoch_) {  // W1: the sender has installed what we have not seen yet
    landing.verdict = Landing::Verdict::kHold;
    return landing;
  }
  if (header.epoch < epoch_ || sealed_ || header.group != group_) return landing;
  const bool data = header.kind == Kind::kPartial || header.kind == Kind::kResult;
  if (!data) {
    if (header.length == 0) landing.verdict = Landing::Verdict::kInto;
    return landing;
  }
  if (ended(header.op_seq)) return landing;
  if (Op* op = find(header.op_seq)) {
    if (!op->executor) return landing;
    if (!same_signature(*op, from, header.signature)) return landing;
    return op->executor->on_header(from, header);
  }
  // Not begun here.  Within an epoch the sender frees nothing without our DONE, or our input with a watermark, so that it can mean no
  // more than its open ops, how far ahead those ever are: what was aborted meanwhile lies between.
  const bool bounded = header.length <= wire::kEagerBytes &&
                       (stash_.contains(header.op_seq) || stash_.size() < 2 * limits_.open_ops);
  if (!bounded || aborted_.contains(header.op_seq)) return landing;
  if (header.length > 0 && !(landing.keep = pool_.take(header.length))) return landing;
  landing.verdict = Landing::Verdict::kInto;
  landing.into = landing.keep.data();
  landing.note = kStashed;
  return landing;
}

void Communicator::on_frame(Time now, Rank from, const FrameHeader& header, Landing&& landing) {
  RHZ_ASSERT("A", header.epoch == epoch_ && !sealed_);
  if (header.kind == Kind::kDone) return on_done(now, header);
  Op* op = find(header.op_seq);
  if (header.kind == Kind::kGrant) {
    // Everybody may receive from this rank, in every op that is open there.
    const bool bounded = early_grants_.size() < size_t{limits_.open_ops} * view_.size();
    if (!op && !ended(header.op_seq) && bounded) early_grants_[{header.op_seq, from}] = header.signature;
    if (op && op->executor && same_signature(*op, from, header.signature)) {
      op->executor->granted(from);
      pump(now);
    }
    return;
  }
  if (op && op->executor) {
    const OpSeq seq = op->seq;
    deliver_to(now, *op, from, header, std::move(landing));
    pump(now);
    if (Op* still = find(seq)) progress(now, *still);
  } else if (!op && !ended(header.op_seq)) {
    stash_[header.op_seq].push_back({from, header, std::move(landing.keep)});
  }
}

void Communicator::deliver_to(Time, Op& op, Rank from, const FrameHeader& header,
                              Landing&& landing) {
  if (landing.note != kStashed) return op.executor->on_frame(from, header, std::move(landing));
  // It was kept aside: ask again where it belongs.
  Landing proper = on_header(from, header);
  if (proper.verdict != Landing::Verdict::kInto) return;
  if (header.length > 0) std::memcpy(proper.into, landing.into, header.length);
  op.executor->on_frame(from, header, std::move(proper));
}

Time Communicator::tick(Time now) {
  if (over_) return kNever;
  Time next = kNever;
  for (const auto [seq, op] : ops_) {
    if (!sealed_ && !op->full && now >= op->tell_at) {
      op->tell_at = kNever;
      grant(*op, op->executor->peers());
    }
    if (!sealed_ && !op->full) next = std::min(next, op->tell_at);
    if (op->released || op->deadline == kNever) continue;
    if (now < op->deadline) {
      next = std::min(next, op->deadline);
      continue;
    }
    op->deadline = kNever;
    fail(*op, Status(Code::kTimeout,
                     "op_timeout passed before every rank had taken part; see `rhizome status` for "
                     "who is behind"));
  }
  if (now >= announce_at_) act_on_proofs(now);
  if (now >= announce_at_) announce(now);
  if (drain_all(now)) next = std::min(next, now + limits_.drain_look);
  return std::min(next, announce_at_);
}

std::vector<Communicator::OpState> Communicator::open_ops() const {
  std::vector<OpState> states;
  for (const auto [seq, op] : ops_) {
    states.push_back({seq, op->spec.kind, op->released, {}, op->full, {}, {}, op->signature});
    if (!op->executor) continue;
    states.back().held = op->executor->held_runs();
    states.back().blocks = op->executor->blocks();
    states.back().layout = op->executor->layout();
  }
  return states;
}

}  // namespace rhz
