#include "collectives/p2p/messenger.h"

#include <cstring>

#include "runtime/base/assert.h"

namespace rhz {

using wire::FrameHeader;
using wire::Kind;

namespace {

// How long a receive that ends waits for its last landing before it looks again.
constexpr Duration kLookAgain = milliseconds(1);

Status gone(Slot slot) {
  return Status(
      Code::kPeerLost,
      "slot " + std::to_string(slot.value) +
          ", the other side of this message, is gone; what it has sent or got of it is not known");
}

Status vacant(Slot slot) {
  return Status(Code::kPeerLost, "slot " + std::to_string(slot.value) +
                                     ", the other side of this message, is no member of the view");
}

}  // namespace

PeerId Messenger::member_at(Slot slot) const {
  for (const MemberInfo& member : view_.members)
    if (member.slot == slot) return member.id;
  return {};
}

Messenger::Partner& Messenger::with(PeerId id) {
  auto& partner = partners_[id];
  MessageHost& host = *this;
  const Slot slot = view_.members[view_.rank_of(id).value].slot;
  if (!partner) partner = std::make_unique<Partner>(id, slot, limits_, pool_, host);
  return *partner;
}

MessageHandle Messenger::submit(Time now, const MessageSpec& spec, OpCompletion* completion) {
  const MessageHandle handle = next_handle_++;
  MessageOp op;
  op.handle = handle;
  op.spec = spec;
  op.completion = completion;
  op.submitted = now;
  op.outcome.first_epoch = view_.epoch;
  const PeerId id = member_at(spec.peer);
  if (over_ || !id.valid()) {
    refuse(now, std::move(op), over_ ? over_status_ : vacant(spec.peer));
    return handle;
  }
  Partner& partner = with(id);
  where_[handle] = &partner;
  if (spec.timeout > Duration::zero())
    deadline_of_[handle] = deadlines_.emplace(now + spec.timeout, handle);
  if (spec.sends)
    partner.out.submit(now, std::move(op));
  else
    partner.in.submit(now, std::move(op));
  deliver_local(now);
  return handle;
}

void Messenger::refuse(Time now, MessageOp&& op, const Status& status) {
  returned(now, op, status);
  finished(op, status);
}

void Messenger::returned(Time now, MessageOp& op, const Status& status) {
  where_.erase(op.handle);
  if (const auto at = deadline_of_.find(op.handle); at != deadline_of_.end()) {
    deadlines_.erase(at->second);
    deadline_of_.erase(at);
  }
  op.outcome.status = status;
  op.outcome.last_epoch = view_.epoch;
  op.outcome.run = now - op.submitted;
  if (status.code() == Code::kPeerLost) op.outcome.culprit = op.spec.peer;
  op.completion->released(op.outcome);
}

void Messenger::finished(MessageOp& op, const Status& status) {
  op.completion->finalised(status);
  op.completion = nullptr;
}

void Messenger::stop(Time now, MessageHandle handle, const Status& status) {
  const auto at = where_.find(handle);
  if (at == where_.end()) return;
  Partner& partner = *at->second;
  partner.out.cancel(now, handle, status);  // it is with one of the two
  partner.in.cancel(now, handle, status);
  deliver_local(now);
}

void Messenger::cancel(Time now, MessageHandle handle) {
  stop(now, handle, Status(Code::kCancelled, "cancelled here"));
}

void Messenger::seal() {
  sealed_ = true;
  local_.clear();
  for (auto& [id, partner] : partners_) partner->in.seal();
}

void Messenger::install(Time now, const View& view) {
  view_ = view;
  sealed_ = false;
  for (auto at = partners_.begin(); at != partners_.end();) {
    Partner& partner = *at->second;
    if (view.contains(at->first)) {
      partner.in.settle(now);
      partner.in.install();
      partner.out.install();
      ++at;
      continue;
    }
    const Status status = gone(partner.slot);  // R7
    partner.out.lost(now, status);
    partner.in.lost(now, status);
    at = partners_.erase(at);
  }
  deliver_local(now);
}

void Messenger::end_all(Time now, const Status& status) {
  if (over_) return;
  over_ = sealed_ = true;
  over_status_ = status;
  local_.clear();
  for (auto& [id, partner] : partners_) {
    partner->out.lost(now, status);
    partner->in.lost(now, status);
  }
  partners_.clear();
}

Landing Messenger::on_header(Time now, PeerId from, const FrameHeader& header) {
  Landing landing;
  if (header.epoch != view_.epoch || sealed_ || over_ || !view_.contains(from)) return landing;
  if (header.kind == Kind::kPull || header.kind == Kind::kTaken) {
    if (header.length == 0) landing.verdict = Landing::Verdict::kInto;
    return landing;
  }
  return with(from).in.on_header(now, header);
}

void Messenger::on_frame(Time now, PeerId from, const FrameHeader& header, Landing&& landing) {
  RHZ_ASSERT("A", header.epoch == view_.epoch && !sealed_);
  const auto at = partners_.find(from);
  if (at == partners_.end()) return;
  Partner& partner = *at->second;
  switch (header.kind) {
    case Kind::kPull: partner.out.on_pull(header); break;
    case Kind::kTaken: partner.out.on_taken(now, header); break;
    default: partner.in.on_frame(now, header, std::move(landing));
  }
  partner.in.settle(now);
  deliver_local(now);
}

void Messenger::emit(PeerId to, LaneClass lane, OutFrame frame) {
  RHZ_ASSERT("E", !sealed_);
  frame.header.epoch = view_.epoch;
  if (to != self_) return transport_.send(to, lane, std::move(frame));
  frame.header.length = static_cast<uint32_t>(frame.payload.size());
  local_.push_back(std::move(frame));
}

// What goes to this peer itself takes the same way, without a transport.
void Messenger::deliver_local(Time now) {
  if (delivering_) return;
  delivering_ = true;
  while (!local_.empty()) {
    const OutFrame frame = std::move(local_.front());
    local_.pop_front();
    Landing landing = on_header(now, self_, frame.header);
    if (landing.verdict != Landing::Verdict::kInto) continue;
    if (!frame.payload.empty())
      std::memcpy(landing.into, frame.payload.data(), frame.payload.size());
    on_frame(now, self_, frame.header, std::move(landing));
  }
  delivering_ = false;
}

Time Messenger::tick(Time now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const auto due = deadlines_.begin();
    const MessageHandle handle = due->second;
    deadline_of_.erase(handle);
    deadlines_.erase(due);
    stop(now, handle,
         Status(Code::kTimeout,
                "the other side did not take part within the time-out of this send or receive"));
  }
  Time next = deadlines_.empty() ? kNever : deadlines_.begin()->first;
  for (auto& [id, partner] : partners_)
    if (partner->in.settle(now)) next = std::min(next, now + kLookAgain);
  return next;
}

size_t Messenger::pending() const { return where_.size(); }

size_t Messenger::open() const {
  size_t open = 0;
  for (const auto& [id, partner] : partners_) open += partner->out.open() + partner->in.open();
  return open;
}

}  // namespace rhz
