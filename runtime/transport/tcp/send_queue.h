// The frames of one outgoing lane, from send() until the receiver has credited them.  Knows no
// socket.
//
//   frames:   written, not credited | being written | waiting
//                                     ^ next_
//
// A frame gets its number when its first byte is written, so that frames dropped before leave no
// gap.  A frame whose op ended after that goes out as VOID under the same number when the
// connection has to be resumed.  Owner: OutLane.
#pragma once

#include <sys/uio.h>

#include <span>

#include "runtime/memory/pool.h"
#include "runtime/transport/tcp/ring.h"
#include "runtime/transport/transport.h"

namespace rhz::tcp {

class SendQueue {
 public:
  SendQueue(BufferPool& pool, uint64_t run_hash) : pool_(pool), run_hash_(run_hash) {}

  // `copy`: takes a copy of the payload.
  void push(OutFrame&& frame, bool copy);
  // Ahead of all that wait; for frames without a number.
  void push_urgent(const wire::FrameHeader& header);

  bool has_unsent() const { return next_ < frames_.size(); }
  bool has_unsent(wire::Kind kind) const;
  bool owes() const;  // a numbered frame waits or is not credited
  size_t unsent_bytes() const;
  uint64_t credited() const { return credited_; }

  // Describes what is to be written next, in at most `out.size()` pieces; returns their number.
  size_t gather(std::span<iovec> out);
  // So many bytes of what gather() described have been written.  Returns how many frames that
  // completed.
  size_t wrote(size_t bytes);

  // For a way that takes whole headers: whether a part of the next frame is written, and its header
  // once gather() has described it.
  bool in_a_frame() const { return head_written_ > 0; }
  const wire::FrameHeader& next() const { return frames_[next_].header; }
  // What keeps its payload alive; empty: the caller's memory.
  const Buffer& next_keep() const { return frames_[next_].keep; }
  // Written and not credited.
  size_t written_frames() const { return next_; }
  size_t written_bytes() const;
  // The numbers of frames that were written, are not credited, and whose op has ended.
  template <class Call>
  void each_stale(Call call) const {
    for (size_t i = 0; i < next_; ++i)
      if (frames_[i].stale && frames_[i].numbered) call(frames_[i].header.lane_seq);
  }

  // The receiver has consumed all frames up to this number.  False: it names one that was not
  // written.
  [[nodiscard]] bool credit(uint64_t consumed);
  // A new connection: all behind `consumed` is to be written again.  False: as above.
  [[nodiscard]] bool rewind(uint64_t consumed);
  // A new lane generation: the frames that are left are numbered from 1 again.  Before rewind(0).
  void renumber();

  void quiesce();
  void release(GroupId group, OpSeq op);
  // A frame of this op that is not written completely, or (`written`) not credited, reads the caller's memory.
  bool reads(GroupId group, OpSeq op, bool written) const;
  void clear();

 private:
  struct Frame {
    wire::FrameHeader header;
    ConstBytes payload;
    Buffer keep;
    bool numbered = false;  // header.lane_seq stands
    bool stale = false;     // its op ended: VOID when it is written again
    bool dropped = false;   // its op ended before a byte was written: on its way out of the queue
    wire::HeaderBytes encoded;
  };
  static bool reads(const Frame& frame, GroupId group, OpSeq op) {
    return !frame.payload.empty() && !frame.keep && wire::is_op_frame(frame.header.kind) &&
           frame.header.op_seq == op && frame.header.group == group;
  }
  size_t total_bytes(const Frame& frame) const { return wire::kHeaderBytes + frame.payload.size(); }
  bool begun(size_t i) const { return i < next_ || (i == next_ && head_written_ > 0); }
  void pop_done(uint64_t consumed);
  void own_payload(Frame& frame, size_t from);
  void retire(size_t i);
  void drop_retired();
  static void make_void(Frame& frame);

  BufferPool& pool_;
  const uint64_t run_hash_;
  Ring<Frame> frames_;
  size_t next_ = 0;           // the first frame that is not written completely
  size_t head_written_ = 0;   // bytes of it that are
  uint64_t next_number_ = 1;  // of the next frame that begins
  uint64_t credited_ = 0;
};

// Whether frames of this kind have a place in the numbering of their lane.
constexpr bool takes_number(wire::Kind kind) {
  using enum wire::Kind;
  return wire::is_op_frame(kind) || kind == kVoid || kind == kStatePull || kind == kStateData ||
         kind == kPing || kind == kPong;
}

}  // namespace rhz::tcp
