#include "collectives/p2p/inbound.h"

#include <cstring>

#include "runtime/base/assert.h"
#include "runtime/base/canary.h"

namespace rhz {

using wire::FrameHeader;
using wire::Kind;

void Inbound::submit(Time now, MessageOp&& op) {
  const MessageHandle handle = op.handle;
  const ChannelKey key = op.spec.channel;
  receives_[handle].op = std::move(op);
  channels_[key].waiting.push_back(handle);
  match(now, key);
}

Landing Inbound::on_header(Time now, const FrameHeader& header) {
  return header.kind == Kind::kMessage ? on_message_header(now, header) : on_piece_header(header);
}

void Inbound::on_frame(Time now, const FrameHeader& header, Landing&& landing) {
  Buffer payload = std::move(landing.keep);
  if (header.kind == Kind::kMessage) return on_message(now, header, std::move(payload));
  payload.reset();  // its share of the token
  on_piece(now, header);
}

// ---- messages

Landing Inbound::on_message_header(Time now, const FrameHeader& header) {
  const MessageNumber number = number_in(header);
  const uint64_t bytes = size_in(header);
  if (is_taken(number)) {  // R3: what comes twice is answered again
    if (!canary(Rule::kR3)) {
      say_taken(number);
      return {};
    }
  }
  // A sender numbers without gaps and has no more open than it may; of itself it offers what is
  // large.
  const bool sane = number <= seen_ && bytes <= kMaxMessageBytes &&
                    (header.length == 0 || (header.length == bytes && bytes <= wire::kEagerBytes));
  const bool room = number < seen_ || untaken_.size() < limits_.open;
  if (!sane || !room) return {};
  Landing landing;
  landing.verdict = Landing::Verdict::kInto;
  if (header.length == 0) return landing;
  if (arrived_.contains(number) || matched_.contains(number)) return {};
  if (kept_bytes_ + bytes + kNoteBytes <= limits_.kept_bytes) landing.keep = pool_.take(bytes);
  if (!landing.keep) {  // noted without its bytes: they are pulled when there is a receive
    on_message(now, header, {});
    return {};
  }
  landing.into = landing.keep.data();
  return landing;
}

void Inbound::on_message(Time now, const FrameHeader& header, Buffer payload) {
  const MessageNumber number = number_in(header);
  const bool again = canary(Rule::kR3) && is_taken(number);
  if (number > seen_ || (is_taken(number) && !again)) return;
  if (number == seen_) seen_ = seen_.next();
  untaken_.insert(number);
  if (header.flags != 0) return withdrawn(now, number, static_cast<Code>(header.flags));
  if (Receive* receive = taker(number)) return pull(*receive);  // after an install
  const ChannelKey key{header.group, header.signature};
  if (payload) kept_bytes_ += size_in(header) + kNoteBytes;
  arrived_[number] = {key, size_in(header), std::move(payload)};
  channels_[key].arrived.insert(number);
  match(now, key);
}

void Inbound::withdrawn(Time now, MessageNumber number, Code why) {
  if (const auto at = arrived_.find(number); at != arrived_.end()) {
    const ChannelKey key = at->second.channel;
    if (at->second.payload) kept_bytes_ -= at->second.bytes + kNoteBytes;
    arrived_.erase(at);
    channels_[key].arrived.erase(number);
    match(now, key);
  }
  if (Receive* receive = taker(number); receive && receive->ending.is_ok()) {
    const Code code = why == Code::kTimeout ? Code::kTimeout : Code::kCancelled;
    return cancel(now, receive->op.handle,
                  Status(code, "the sender withdrew this message while it came"));
  }
  take(number);
}

Inbound::Receive* Inbound::taker(MessageNumber number) {
  const auto at = matched_.find(number);
  return at == matched_.end() ? nullptr : &receives_.at(at->second);
}

// The first receive of the channel takes its first message.
void Inbound::match(Time now, const ChannelKey& key) {
  const auto at = channels_.find(key);
  if (at == channels_.end()) return;
  Channel& channel = at->second;
  while (!channel.waiting.empty() && !channel.arrived.empty()) {
    Receive& receive = receives_.at(channel.waiting.front());
    const MessageNumber number = *channel.arrived.begin();
    channel.waiting.pop_front();
    channel.arrived.erase(channel.arrived.begin());
    auto message = arrived_.extract(number);
    attach(now, receive, number, std::move(message.mapped()));
  }
  if (channel.waiting.empty() && channel.arrived.empty()) channels_.erase(at);
}

void Inbound::attach(Time now, Receive& receive, MessageNumber number, Arrived&& message) {
  const MessageHandle handle = receive.op.handle;
  if (message.payload) kept_bytes_ -= message.bytes + kNoteBytes;
  receive.op.outcome.seq = OpSeq(number.value);
  receive.op.outcome.bytes = message.bytes;
  if (message.bytes > receive.op.spec.bytes) {
    take(number);
    return end(now, handle,
               Status(Code::kMismatch, "the message has " + std::to_string(message.bytes) +
                                           " bytes, this receive has room for " +
                                           std::to_string(receive.op.spec.bytes) +
                                           "; the message is gone"));
  }
  if (message.payload || message.bytes == 0) {
    if (message.bytes > 0) std::memcpy(receive.op.spec.recv, message.payload.data(), message.bytes);
    receive.op.outcome.received_bytes = message.bytes;
    take(number);
    return end(now, handle, Status::ok());
  }
  receive.token = pool_.take(1);
  if (!receive.token) {
    take(number);
    return end(now, handle, Status(Code::kMemory, "no memory for a receive; the message is gone"));
  }
  receive.matched = true;
  receive.number = number;
  receive.pieces = Pieces(message.bytes, host_.segment_bytes());
  matched_[number] = handle;
  pull(receive);
}

// ---- pieces

void Inbound::pull(Receive& receive) {
  receive.granted = std::min(receive.base + limits_.window, receive.pieces.count());
  OutFrame frame;
  frame.header.kind = Kind::kPull;
  frame.header.full_upto = receive.number.value;
  frame.header.chunk = ChunkIndex(receive.base);
  frame.header.segment = SegmentIndex(receive.granted);
  host_.emit(partner_, LaneClass::kExpress, std::move(frame));
}

// W9: before a byte lands.
bool Inbound::is_due(const Receive& receive, const FrameHeader& header) const {
  const uint32_t piece = header.chunk.value;
  return receive.ending.is_ok() && piece >= receive.base && piece < receive.granted &&
         (receive.beyond >> (piece - receive.base) & 1) == 0 &&
         header.length == receive.pieces.length(piece);
}

Landing Inbound::on_piece_header(const FrameHeader& header) {
  Receive* receive = taker(number_in(header));
  if (!receive || !is_due(*receive, header)) return {};
  Landing landing;
  landing.verdict = Landing::Verdict::kInto;
  landing.into = receive->op.spec.recv + receive->pieces.offset(header.chunk.value);
  landing.keep = receive->token;
  return landing;
}

void Inbound::on_piece(Time now, const FrameHeader& header) {
  Receive* receive = taker(number_in(header));
  if (!receive || !is_due(*receive, header)) return;
  receive->op.outcome.received_bytes += header.length;
  receive->beyond |= uint64_t{1} << (header.chunk.value - receive->base);
  for (; receive->beyond & 1; receive->beyond >>= 1) ++receive->base;
  if (receive->base == receive->pieces.count()) {
    const MessageHandle handle = receive->op.handle;
    take(receive->number);
    return end(now, handle, Status::ok());
  }
  const bool more = receive->granted < receive->pieces.count();
  if (more && receive->granted - receive->base <= limits_.window / 2) pull(*receive);
}

// ---- ends

void Inbound::take(MessageNumber number) {
  untaken_.erase(number);
  matched_.erase(number);
  if (!host_.sealed()) say_taken(number);
}

void Inbound::say_taken(MessageNumber number) {
  OutFrame frame;
  frame.header.kind = Kind::kTaken;
  frame.header.full_upto = taken_upto().value;
  frame.header.op_seq = OpSeq(number.value);
  host_.emit(partner_, LaneClass::kExpress, std::move(frame));
}

void Inbound::end(Time now, MessageHandle handle, const Status& status) {
  auto receive = receives_.extract(handle);
  ending_.erase(handle);
  host_.returned(now, receive.mapped().op, status);
  host_.finished(receive.mapped().op, status);
}

void Inbound::cancel(Time now, MessageHandle handle, const Status& status) {
  const auto at = receives_.find(handle);
  if (at == receives_.end() || !at->second.ending.is_ok()) return;
  Receive& receive = at->second;
  if (!receive.matched) {
    const ChannelKey key = receive.op.spec.channel;
    Channel& channel = channels_.at(key);
    std::erase(channel.waiting, handle);
    if (channel.waiting.empty() && channel.arrived.empty()) channels_.erase(key);
    return end(now, handle, status);
  }
  receive.ending = status;
  ending_.insert(handle);
  take(receive.number);
  settle(now);
}

bool Inbound::settle(Time now) {
  std::vector<MessageHandle> quiet;
  for (MessageHandle handle : ending_)
    if (!receives_.at(handle).token.shared()) quiet.push_back(handle);
  for (MessageHandle handle : quiet) {
    const Status status = receives_.at(handle).ending;
    end(now, handle, status);
  }
  return !ending_.empty();
}

void Inbound::seal() {
  arrived_.clear();
  kept_bytes_ = 0;
  for (auto at = channels_.begin(); at != channels_.end();) {
    at->second.arrived.clear();
    at = at->second.waiting.empty() ? channels_.erase(at) : std::next(at);
  }
}

// What it was sent in the old epoch may never have come: it begins behind what is here without a
// gap.
void Inbound::install() {
  for (auto& [handle, receive] : receives_) {
    ++receive.op.outcome.rebuilds;
    receive.granted = receive.base;
    receive.beyond = 0;
  }
  if (const MessageNumber upto = taken_upto(); upto > MessageNumber(0))
    say_taken(MessageNumber(upto.value - 1));
}

void Inbound::lost(Time now, const Status& status) {
  seal();
  channels_.clear();
  matched_.clear();
  while (!receives_.empty()) {
    const auto at = receives_.begin();
    RHZ_ASSERT("J", !at->second.token.shared());
    const Status outcome = at->second.ending.is_ok() ? status : at->second.ending;
    end(now, at->first, outcome);
  }
}

}  // namespace rhz
