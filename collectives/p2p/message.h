// One send or receive, and how its frames are read, as plain data (docs/protocol.md, "Send and
// receive").
//
// A sender numbers its messages to a partner from 0, through all tags and epochs.  A channel is the
// sequence of those that have one tag: its receives take them in that order.  Fields of the frames:
//
//             full_upto            op_seq                      signature  chunk, segment
//   MESSAGE   number               the sender's own number of  tag        low and high half of the
//   size
//                                  this send, with the top bit
//                                  (no collective has it)
//   PULL      number                                                      pieces from chunk up to
//   segment may come PIECE     number               as MESSAGE                             chunk:
//   which piece TAKEN     all below are taken  this one is as well
#pragma once

#include <algorithm>
#include <bit>
#include <map>

#include "collectives/op.h"
#include "runtime/transport/transport.h"

namespace rhz {

using MessageNumber = Number<struct MessageNumberTag, uint64_t>;
using MessageHandle = uint64_t;  // of a send or receive; never reused
// Handles of collectives do not have it, nor have their numbers.
inline constexpr uint64_t kMessageBit = uint64_t{1} << 63;

inline constexpr uint64_t kMaxMessageBytes = uint64_t{1} << 40;
inline constexpr uint64_t kMostPieces = 1u << 16;

struct ChannelKey {
  GroupId group = kRootGroup;
  uint64_t tag = 0;
  friend auto operator<=>(const ChannelKey&, const ChannelKey&) = default;
};

struct MessageSpec {
  bool sends = true;  // else receives
  Slot peer = kAnySlot;
  ChannelKey channel;
  const std::byte* send = nullptr;
  std::byte* recv = nullptr;
  uint64_t bytes = 0;                   // of the message; of a receive: room for it
  Duration timeout = Duration::zero();  // since it was submitted; zero: none
};

struct MessageLimits {
  uint64_t kept_bytes = 1u << 20;  // of small messages that one partner has not taken: sent at
                                   // once, kept as copies on both sides
  uint32_t open =
      16384;  // messages of one partner that are not taken: what a receiver keeps a note of
  uint32_t window = 16;  // pieces on their way to one receive; at most 64
};
// What a note costs, also of a message without bytes.
inline constexpr uint64_t kNoteBytes = 64;

// A send or receive that is open, or a small message that is not taken.
struct MessageOp {
  MessageHandle handle = 0;
  MessageSpec spec;
  OpCompletion* completion = nullptr;
  Time submitted{};
  OpOutcome outcome;
};

// What the two sides of a partner need of the messenger.
class MessageHost {
 public:
  virtual ~MessageHost() = default;
  // Adds the epoch.  Not while sealed.
  virtual void emit(PeerId to, LaneClass lane, OutFrame frame) = 0;
  virtual bool sealed() const = 0;
  // The op is terminal for its caller …
  virtual void returned(Time now, MessageOp& op, const Status& status) = 0;
  // … and nothing of it is left to do.  Op is forgotten.
  virtual void finished(MessageOp& op, const Status& status) = 0;
  // No frame of this send reads the caller's memory any more.
  virtual void release(GroupId group, OpSeq serial) = 0;
  virtual OpSeq next_serial() = 0;
  // Of the run: how messages are cut.
  virtual uint32_t segment_bytes() const = 0;
};

// A message above 16 KiB, or one for which there is no room, comes in pieces.  Both sides cut it
// alike.
struct Pieces {
  uint64_t bytes = 0, piece_bytes = 1;
  Pieces() = default;
  Pieces(uint64_t message_bytes, uint32_t segment_bytes)
      : bytes(message_bytes),
        piece_bytes(std::max<uint64_t>(
            segment_bytes, std::bit_ceil((message_bytes + kMostPieces - 1) / kMostPieces))) {}
  uint32_t count() const { return static_cast<uint32_t>((bytes + piece_bytes - 1) / piece_bytes); }
  uint64_t offset(uint32_t piece) const { return piece * piece_bytes; }
  uint64_t length(uint32_t piece) const { return std::min(piece_bytes, bytes - offset(piece)); }
};

inline uint64_t size_in(const wire::FrameHeader& header) {
  return uint64_t{header.segment.value} << 32 | header.chunk.value;
}
inline void put_size(wire::FrameHeader& header, uint64_t bytes) {
  header.chunk = ChunkIndex(static_cast<uint32_t>(bytes));
  header.segment = SegmentIndex(static_cast<uint32_t>(bytes >> 32));
}
inline MessageNumber number_in(const wire::FrameHeader& header) {
  return MessageNumber(header.full_upto);
}

}  // namespace rhz
