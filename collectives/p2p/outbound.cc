#include "collectives/p2p/outbound.h"

#include <cstring>

#include "runtime/base/canary.h"

namespace rhz {

using wire::FrameHeader;
using wire::Kind;

void Outbound::submit(Time now, MessageOp&& op) {
  const MessageNumber number = next_;
  next_ = next_.next();
  op.outcome.seq = OpSeq(number.value);
  op.outcome.bytes = op.outcome.sent_bytes = op.spec.bytes;
  Send& added = sends_[number];
  added.pieces = Pieces(op.spec.bytes, host_.segment_bytes());
  added.serial = host_.next_serial();
  added.op = std::move(op);
  const bool at_once = keep(added);
  if (!host_.sealed()) send(number, added);
  if (!at_once) return void(handles_[added.op.handle] = number);
  added.returned = true;
  host_.returned(now, added.op, Status::ok());
}

// A small message is copied and may return at once.
bool Outbound::keep(Send& send) {
  const uint64_t bytes = send.op.spec.bytes;
  if (bytes > wire::kEagerBytes || kept_bytes_ + bytes + kNoteBytes > limits_.kept_bytes)
    return false;
  if (bytes > 0) {
    send.copy = pool_.take(bytes);
    if (!send.copy) return false;
    std::memcpy(send.copy.data(), send.op.spec.send, bytes);
  }
  send.whole = true;
  kept_bytes_ += bytes + kNoteBytes;
  return true;
}

void Outbound::send(MessageNumber number, Send& send) {
  OutFrame frame;
  frame.header.kind = Kind::kMessage;
  frame.header.group = send.op.spec.channel.group;
  frame.header.op_seq = send.serial;
  frame.header.full_upto = number.value;
  frame.header.signature = send.op.spec.channel.tag;
  frame.header.flags = static_cast<uint16_t>(send.withdrawn);
  put_size(frame.header, send.op.spec.bytes);
  if (send.whole && send.copy) {
    frame.payload = {send.copy.data(), send.op.spec.bytes};
    frame.keep = send.copy;
  }
  host_.emit(partner_, LaneClass::kExpress, std::move(frame));
}

void Outbound::on_pull(const FrameHeader& header) {
  const auto at = sends_.find(number_in(header));
  if (at == sends_.end() || at->second.withdrawn != Code::kOk) return;
  Send& send = at->second;
  const uint32_t from = header.chunk.value, upto = header.segment.value;
  if (from > upto || upto > send.pieces.count() || upto - from > 64) return;
  for (send.next = std::max(send.next, from); send.next < upto; ++send.next) {
    OutFrame frame;
    frame.header.kind = Kind::kPiece;
    frame.header.group = send.op.spec.channel.group;
    frame.header.op_seq = send.serial;
    frame.header.full_upto = at->first.value;
    frame.header.chunk = ChunkIndex(send.next);
    const std::byte* whole = send.copy ? send.copy.data() : send.op.spec.send;
    frame.payload = {whole + send.pieces.offset(send.next), send.pieces.length(send.next)};
    frame.keep = send.copy;
    host_.emit(partner_, LaneClass::kBulk, std::move(frame));
  }
  if (canary(Rule::kR1) && send.next == send.pieces.count() && !send.returned) {
    send.returned = true;
    handles_.erase(send.op.handle);
    host_.returned({}, send.op, Status::ok());
  }
}

void Outbound::on_taken(Time now, const FrameHeader& header) {
  const MessageNumber upto = number_in(header), one(header.op_seq.value);
  if (upto > next_) return;
  while (!sends_.empty() && sends_.begin()->first < upto) taken(now, sends_.begin());
  if (const auto at = sends_.find(one); at != sends_.end()) taken(now, at);
}

// Its own memory is the caller's again: before anybody hears of it.
void Outbound::give_back(Send& send) {
  if (send.whole)
    kept_bytes_ -= send.op.spec.bytes + kNoteBytes;
  else
    host_.release(send.op.spec.channel.group, send.serial);
  send.copy.reset();
  send.whole = false;
}

void Outbound::taken(Time now, std::map<MessageNumber, Send>::iterator at) {
  Send send = std::move(at->second);
  sends_.erase(at);
  give_back(send);
  if (send.withdrawn != Code::kOk) return;
  if (!send.returned) {
    handles_.erase(send.op.handle);
    host_.returned(now, send.op, Status::ok());
  }
  host_.finished(send.op, Status::ok());
}

void Outbound::cancel(Time now, MessageHandle handle, const Status& status) {
  const auto found = handles_.find(handle);
  if (found == handles_.end()) return;
  const MessageNumber number = found->second;
  handles_.erase(found);
  Send& withdrawn = sends_.at(number);
  withdrawn.withdrawn = status.code();
  give_back(withdrawn);
  if (!host_.sealed()) send(number, withdrawn);
  host_.returned(now, withdrawn.op, status);
  host_.finished(withdrawn.op, status);
}

void Outbound::install() {
  for (auto& [number, again] : sends_) {
    ++again.op.outcome.rebuilds;
    again.next = 0;
    if (!canary(Rule::kR5)) send(number, again);
  }
}

void Outbound::lost(Time now, const Status& status) {
  auto all = std::exchange(sends_, {});
  handles_.clear();
  for (auto& [number, send] : all) {
    give_back(send);
    if (send.withdrawn != Code::kOk) continue;
    if (!send.returned) host_.returned(now, send.op, status);
    host_.finished(send.op, status);
  }
}

}  // namespace rhz
