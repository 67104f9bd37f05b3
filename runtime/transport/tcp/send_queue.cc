#include "runtime/transport/tcp/send_queue.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/assert.h"

namespace rhz::tcp {
namespace {

// Frames of a lane that wait or are not credited.  Grants and the executor's window keep it far
// below; 60 MB of headers.
constexpr size_t kMaxFrames = size_t{1} << 18;
// Of one write: more than a socket buffer holds is not even looked at.
constexpr size_t kMaxGatherBytes = size_t{4} << 20;

iovec piece(const std::byte* data, size_t size) { return {const_cast<std::byte*>(data), size}; }

}  // namespace

void SendQueue::push(OutFrame&& out, bool copy) {
  RHZ_ASSERT("B1", frames_.size() < kMaxFrames);
  Frame frame;
  frame.header = out.header;
  frame.header.run = run_hash_;
  frame.header.lane_seq = 0;
  frame.header.length = static_cast<uint32_t>(out.payload.size());
  frame.payload = out.payload;
  frame.keep = std::move(out.keep);
  if (copy) own_payload(frame, 0);
  frames_.push_back(std::move(frame));
}

void SendQueue::push_urgent(const wire::FrameHeader& header) {
  RHZ_ASSERT("urgent frames have no number", !takes_number(header.kind));
  Frame frame;
  frame.header = header;
  frame.header.run = run_hash_;
  frame.header.lane_seq = 0;
  frame.header.length = 0;
  frames_.insert(next_ + (head_written_ > 0 ? 1 : 0), std::move(frame));
}

bool SendQueue::has_unsent(wire::Kind kind) const {
  for (size_t i = next_; i < frames_.size(); ++i)
    if (frames_[i].header.kind == kind) return true;
  return false;
}

bool SendQueue::owes() const {
  for (size_t i = 0; i < frames_.size(); ++i)
    if (takes_number(frames_[i].header.kind)) return true;
  return false;
}

size_t SendQueue::unsent_bytes() const {
  size_t bytes = 0;
  for (size_t i = next_; i < frames_.size(); ++i) bytes += total_bytes(frames_[i]);
  return bytes - head_written_;
}

size_t SendQueue::written_bytes() const {
  size_t bytes = 0;
  for (size_t i = 0; i < next_; ++i) bytes += total_bytes(frames_[i]);
  return bytes;
}

size_t SendQueue::gather(std::span<iovec> out) {
  size_t pieces = 0, bytes = 0;
  uint64_t number = next_number_;
  for (size_t i = next_; i < frames_.size() && pieces + 2 <= out.size(); ++i) {
    Frame& frame = frames_[i];
    const size_t written = i == next_ ? head_written_ : 0;
    if (written == 0) {
      if (takes_number(frame.header.kind) && !frame.numbered) frame.header.lane_seq = number++;
      wire::encode_header(frame.header, frame.encoded.data());
    }
    if (written < wire::kHeaderBytes)
      out[pieces++] = piece(frame.encoded.data() + written, wire::kHeaderBytes - written);
    const size_t from = std::max(written, wire::kHeaderBytes) - wire::kHeaderBytes;
    if (from < frame.payload.size())
      out[pieces++] = piece(frame.payload.data() + from, frame.payload.size() - from);
    bytes += total_bytes(frame) - written;
    if (bytes >= kMaxGatherBytes) break;
  }
  return pieces;
}

size_t SendQueue::wrote(size_t bytes) {
  size_t completed = 0;
  while (bytes > 0) {
    Frame& frame = frames_[next_];
    if (takes_number(frame.header.kind) && !frame.numbered) {
      frame.numbered = true;
      next_number_ = frame.header.lane_seq + 1;
    }
    const size_t left = total_bytes(frame) - head_written_;
    if (bytes < left) {
      head_written_ += bytes;
      break;
    }
    bytes -= left;
    head_written_ = 0;
    ++next_;
    ++completed;
    if (frame.stale) {
      frame.payload = {};
      frame.keep.reset();
    }
  }
  pop_done(credited_);
  return completed;
}

// Frames without a number are done once they are written.
void SendQueue::pop_done(uint64_t consumed) {
  while (next_ > 0) {
    const Frame& frame = frames_.front();
    if (takes_number(frame.header.kind) && frame.header.lane_seq > consumed) break;
    frames_.pop_front();
    --next_;
  }
}

bool SendQueue::credit(uint64_t consumed) {
  if (consumed <= credited_) return true;
  if (consumed >= next_number_) return false;
  pop_done(consumed);
  for (size_t i = next_; i < frames_.size() && frames_[i].numbered; ++i)
    if (frames_[i].header.lane_seq <= consumed) return false;
  credited_ = consumed;
  return true;
}

bool SendQueue::rewind(uint64_t consumed) {
  if (consumed >= next_number_) return false;
  const auto done = [&](const Frame& frame) {
    return takes_number(frame.header.kind) ? frame.numbered && frame.header.lane_seq <= consumed
                                           : true;
  };
  frames_.erase_if(0, done);
  next_ = 0;
  head_written_ = 0;
  credited_ = consumed;
  for (size_t i = 0; i < frames_.size() && frames_[i].numbered; ++i)
    if (frames_[i].stale) make_void(frames_[i]);
  return true;
}

void SendQueue::renumber() {
  for (size_t i = 0; i < frames_.size(); ++i) frames_[i].numbered = false;
  frames_.erase_if(0, [](const Frame& frame) { return frame.stale; });
  next_number_ = 1;
  credited_ = 0;
  next_ = 0;
  head_written_ = 0;
}

void SendQueue::own_payload(Frame& frame, size_t from) {
  if (frame.payload.empty()) return;
  Buffer copy = pool_.must_take(frame.payload.size());
  std::memcpy(copy.data() + from, frame.payload.data() + from, frame.payload.size() - from);
  frame.payload = {copy.data(), frame.payload.size()};
  frame.keep = std::move(copy);
}

void SendQueue::make_void(Frame& frame) {
  frame.header.kind = wire::Kind::kVoid;
  frame.header.length = 0;
  frame.payload = {};
  frame.keep.reset();
}

// The frame's op has ended.
void SendQueue::retire(size_t i) {
  Frame& frame = frames_[i];
  if (i == next_ && head_written_ > 0) {
    // What the connection was promised has to follow.
    frame.stale = true;
    if (!frame.keep)
      own_payload(frame, std::max(head_written_, wire::kHeaderBytes) - wire::kHeaderBytes);
  } else if (i < next_) {
    frame.stale = true;
    frame.payload = {};
    frame.keep.reset();
  } else if (frame.numbered) {
    make_void(frame);
  } else {
    frame.dropped = true;
  }
}

void SendQueue::drop_retired() {
  frames_.erase_if(next_, [](const Frame& frame) { return frame.dropped; });
}

void SendQueue::quiesce() {
  for (size_t i = 0; i < frames_.size(); ++i) {
    Frame& frame = frames_[i];
    if (!wire::is_op_frame(frame.header.kind)) {
      if (!frame.keep) own_payload(frame, 0);  // model state goes on
    } else if (!frame.stale) {
      retire(i);
    }
  }
  drop_retired();
}

void SendQueue::release(GroupId group, OpSeq op) {
  for (size_t i = 0; i < frames_.size(); ++i)
    if (reads(frames_[i], group, op)) retire(i);
  drop_retired();
}

bool SendQueue::reads(GroupId group, OpSeq op, bool written) const {
  for (size_t i = written ? 0 : next_; i < frames_.size(); ++i)
    if (reads(frames_[i], group, op)) return true;
  return false;
}

void SendQueue::clear() {
  frames_.erase_if(0, [](const Frame&) { return true; });
  next_ = 0;
  head_written_ = 0;
}

}  // namespace rhz::tcp
