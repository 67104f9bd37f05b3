// A Node at its admit op, as a joiner that pulls, and as a member that serves.  docs/recovery.md, "Sync".
#include <algorithm>

#include "api/src/node.h"
#include "runtime/base/canary.h"
#include "runtime/digest/digest.h"

namespace rhz {
namespace {
constexpr uint64_t kDigestStepBytes = 16u << 20;  // about 2 ms of the progress thread
constexpr uint64_t kAlongBytes = kDigestBlockBytes;  // digested and copied while they are in the cache
constexpr Duration kMostRoom = std::chrono::seconds(60);  // newcomers wait so long for the room for a copy to be made
constexpr Duration kLookAtRoom = milliseconds(2);
// Of updates for who follows, in states: whoever has to read more than that while members train falls behind them anyway.
constexpr uint64_t kMostRecordedStates = 2;
}  // namespace

using wire::FrameHeader;
using wire::Kind;

// What the coordinator is told of the registered tensors, which nothing can change any more.
void Node::note_state() {
  state_.freeze();
  StateNote note;
  note.shape = state_.shape();
  note.strategy = strategy_;
  const auto tensors = state_.tensors();
  note.tensors.count = static_cast<uint32_t>(tensors.size());
  for (const recovery::Tensor& tensor : tensors.first(std::min(tensors.size(), TensorList::kMost)))
    note.tensors.first.push_back({tensor.name, recovery::type_of(tensor)});
  // Who takes nothing has no use for a copy.
  const bool bulk = state_.shared_bytes() >= bulk_bytes_ && strategy_ != SyncStrategy::kSendOnly;
  note.bulk = bulk ? BulkStand::kWanted : BulkStand::kNone;
  member_.set_state(std::move(note));
  puller_.set_read_only(strategy_ == SyncStrategy::kSendOnly);
  puller_.set_leaves_revision(carries());
}

// ---- a member at its admit op

// Newcomers that want the state in bulk are not let near before the memory for it is there: getting it takes several times as long as
// copying the state, and members would stand still for it.  When to look again.
Time Node::prepare_copy(Time now) {
  groups_.root().set_waiting(pending_.waiting);
  if (!joined_ || admit_op_ != kNoOp) return kNever;  // looks again at the install, and when the op is over
  if (pending_.bulk == 0) {
    if (copy_.has_room()) copy_.close();  // they have gone
  } else if (!copy_.has_room() && strategy_ != SyncStrategy::kReceiveOnly && can_copy()) {
    if (copy_.make_room(state_)) room_since_ = now;  // else it is tried again at the op
  }
  const bool only_bulk = pending_.bulk == pending_.waiting;
  const bool making = copy_.has_room() && !copy_.room_ready() && now < room_since_ + kMostRoom;
  if (only_bulk && making) groups_.root().set_waiting(Communicator::kNotYet);
  return making ? now + kLookAtRoom : kNever;
}

// The root is computed step by step in tick(); then the coordinator is told.
void Node::stand_at_admit(Time now) {
  numbers_.stood_since = now;
  if (carries()) return carry(now, recovery::Carrier::Way::kToHost, [this](Time then) { begin_root(then); });
  begin_root(now);
}

void Node::begin_root(Time now) {
  builder_.emplace(state_, state_.revision().value_or(0));
  copies_along_ = copy_.room_ready() && copy_.begin(state_);
  tick(now);
}

// What the log says of the op: these enter when they have the state, those get a copy of it, or nobody comes.
void Node::admit(Time now, const AdmitRecord& record) {
  guests_ = record.joiners;
  if (!guests_.empty()) return name_peers();
  if (std::exchange(copied_op_, kNoOp) != kNoOp) copy_.close();
  const bool has_it = donor_.is_open() && donor_.sync() == record.op && donor_.root() == record.root &&
                      strategy_ != SyncStrategy::kReceiveOnly;
  if (!record.bulk.empty()) pending_.bulk = 0;  // they do not wait any more, and nobody else does for a copy
  if (!record.bulk.empty() && has_it && begin_copy()) {
    copied_op_ = record.op;
    bulk_guests_ = record.bulk;
    name_peers();
  } else {
    name_peers();
    groups_.root().admit_nobody(now, record.op);
  }
}

// Unless it is here already, or being made, since this op began.
bool Node::begin_copy() {
  if (std::exchange(copies_along_, false)) return true;
  return (copy_.has_room() || can_copy()) && copy_.begin(state_);
}

// A copy must not get a trainer killed: all members of this host take theirs together, out of half of what is left.
uint64_t Node::spare_share() const {
  if (!spare_memory_) return UINT64_MAX;
  uint64_t here = 0;
  for (const MemberInfo& member : installed_.members) here += member.host == member_.self().host;
  return spare_memory_() / 2 / std::max<uint64_t>(here, 1);
}

uint64_t Node::most_recorded() const { return std::min(kMostRecordedStates * state_.shared_bytes(), spare_share()); }

// The op is over as soon as the copy is complete: the program may change its tensors then.
void Node::advance_copy(Time now) {
  if (!copy_.copy(copy_step_bytes_) || groups_.sealed()) return;
  copy_.open(donor_, now, most_recorded());
  ++numbers_.copies;
  groups_.root().admit_nobody(now, std::exchange(copied_op_, kNoOp));
}

void Node::leave_admit(Time now) {
  numbers_.pause = now - numbers_.stood_since;
  ++numbers_.pauses;
  admit_op_ = kNoOp;
  builder_.reset();
  donor_.close();
  if (carries()) carry(now, recovery::Carrier::Way::kForget, nullptr);
  const bool unused = std::exchange(copies_along_, false);  // nobody is to have it
  const bool half = std::exchange(copied_op_, kNoOp) != kNoOp;  // it ended before the copy was complete
  if (unused || half) copy_.close();
  prepare_copy(now);
}

void Node::serve_copy(Time now) {
  const bool copying = copied_op_ != kNoOp;  // the members wait for that, and go first
  if (!copy_.is_open() && !copying) return;
  const bool busy = copying || (!groups_.idle() && admit_op_ == kNoOp);
  while (auto answer = copy_.answer(now, busy, &donor_)) send_state(std::move(*answer));
}

// ---- a joiner

void Node::begin_sync(Time now, const SyncAction& action) {
  guests_ = action.donors;
  for (const MemberInfo& joiner : action.bulk ? action.record.bulk : action.record.joiners)
    if (joiner.id != self_) guests_.push_back(joiner);
  name_peers();
  sync_since_ = now;
  bulk_over_.reset();  // whoever starts this knows
  if (carry_.under_way || carry_.wanted)  // of the sync before, which reads what this one writes
    return void(carry_.then = [this, action](Time then) { begin_sync(then, action); });
  if (!follower_.running() && !follower_.applying()) return pull(now, action);
  held_sync_ = action;
  follow_until_ = now + kFollowPatience;
  follow_end_ = now + follow_patience();
  follow_on(now);
}

void Node::pull(Time now, const SyncAction& action) {
  if (!carries()) return begin_pull(now, action);
  carry(now, recovery::Carrier::Way::kToHost, [this, action](Time then) { begin_pull(then, action); });
}

void Node::begin_pull(Time now, const SyncAction& action) {
  std::vector<PeerId> donors, company;
  for (const MemberInfo& donor : action.donors) donors.push_back(donor.id);
  for (const MemberInfo& joiner : action.bulk ? action.record.bulk : action.record.joiners) company.push_back(joiner.id);
  bulk_ = action.bulk;
  if (bulk_) bulk_donors_ = donors;
  if (canary(Rule::kR2) && !bulk_ && numbers_.bulk.number > 0) {
    synced_ = true;
    return member_.synced(now, {action.record.op, action.record.revision, action.record.root, {}});
  }
  sync_actions(now, puller_.start(action.record, donors, now, {company, self_}));
}

void Node::sync_actions(Time now, recovery::SyncActions&& actions) {
  for (auto& action : actions) {
    if (auto* pull = std::get_if<recovery::SendPull>(&action)) {
      OutFrame frame;
      frame.header.kind = Kind::kStatePull;
      frame.payload = {pull->payload.data(), pull->payload.size()};
      transport_.send(pull->to, LaneClass::kExpress, std::move(frame));
      continue;
    }
    SyncNumbers::Pull& pulled = bulk_ ? numbers_.bulk : numbers_.rest;
    pulled = {puller_.counters().fetched_bytes, puller_.counters().equal_bytes, now - sync_since_,
              puller_.counters().donors_lost, ++numbers_.pulls};
    if (const auto* done = std::get_if<recovery::Synced>(&action)) {
      if (!carries()) return synced(now, *done);
      return carry(now, recovery::Carrier::Way::kToDevice, [this, done = *done](Time then) {
        state_.adopt_synced(done.revision);
        synced(then, done);
      });
    }
    if (auto* failed = std::get_if<recovery::SyncFailed>(&action)) {
      // Who takes nothing will not have it at the next admit op either.
      if (strategy_ == SyncStrategy::kSendOnly && failed->status.code() == Code::kDiverged)
        member_.resign(now, failed->status);
      else member_.synced(now, {failed->op, 0, {}, failed->status});
    }
  }
}

// The tensors are those of the revision.
void Node::synced(Time now, const recovery::Synced& done) {
  synced_ = !bulk_;
  SyncedMessage message{done.op, done.revision, done.root, {}};
  if (bulk_ && follows_ && done.revision > 0) return follow(now, std::move(message));
  member_.synced(now, std::move(message));
}

// ---- both

// About kDigestStepBytes more of the state at the admit op; true when all of it is done.
bool Node::digest_some() {
  for (uint64_t bytes = 0; bytes < kDigestStepBytes; bytes += kAlongBytes) {
    if (builder_->advance(kAlongBytes)) return true;
    if (copies_along_) copy_.copy(kAlongBytes);
  }
  return false;
}

Time Node::tick_sync(Time now) {
  Time next = std::min(tick_carry(now), copy_.has_room() ? prepare_copy(now) : kNever);
  if (builder_) {
    next = now;
    if (digest_some()) {
      recovery::Manifest manifest = builder_->take();
      builder_.reset();
      const Digest root = manifest.root;
      const uint64_t revision = manifest.revision;
      donor_.open(admit_op_, revision, root, state_, std::move(manifest));
      member_.admit_begun(now, {admit_op_, revision, root, state_.shape()});
      next = kNever;
    }
  }
  if (copied_op_ != kNoOp) {
    advance_copy(now);
    if (copied_op_ != kNoOp && copy_.copying()) next = now;
  }
  if (puller_.running()) {
    if (now >= puller_.next_tick()) sync_actions(now, puller_.tick(now));
    next = std::min(next, puller_.next_tick());
  }
  next = std::min(next, tick_follow(now));
  serve_copy(now);
  next = std::min(next, copy_.tick(now));
  if (!bulk_guests_.empty() && copied_op_ == kNoOp && !copy_.is_open()) {
    bulk_guests_.clear();
    name_peers();
  }
  return next;
}

void Node::on_state_frame(Time now, PeerId from, const FrameHeader& header, Landing&& landing) {
  const ConstBytes payload{landing.into, header.length};
  if (header.kind == Kind::kStateData) {
    if (puller_.expects(from)) return sync_actions(now, puller_.handle(from, payload, now));
    sync_actions(now, follower_.handle(from, payload, now));
    return follow_on(now);
  }
  const auto pull = recovery::decode_pull(payload);
  const OpSeq copied = copied_op_ != kNoOp ? copied_op_ : copy_.is_open() ? copy_.sync() : kNoOp;
  if (pull && copied != kNoOp && pull->sync == copied) {
    copy_.handle(from, payload, now);
    serve_copy(now);
  } else if (pull && !joined_ && strategy_ != SyncStrategy::kReceiveOnly) {
    ConstBytes bytes;  // a companion asks, who pulls the same
    const recovery::DataStatus status = puller_.find(*pull, bytes);
    if (auto answer = donor_.answer(from, *pull, status, bytes)) send_state(std::move(*answer));
  } else if (auto answer = donor_.handle(from, payload)) {
    send_state(std::move(*answer));
  }
}

void Node::send_state(recovery::SendData&& answer) {
  OutFrame frame;
  frame.header.kind = Kind::kStateData;
  frame.payload = {answer.payload.data(), answer.length};
  frame.keep = std::move(answer.payload);
  numbers_.served_bytes += answer.length;
  transport_.send(answer.to, LaneClass::kBulk, std::move(frame));
}

}  // namespace rhz
