// The receives from one partner: matches them with its messages, each once and in the order of its
// channel, and lands large ones in the caller's memory (R3, R4).  A step function; progress thread
// only.
#pragma once

#include <deque>
#include <map>
#include <set>

#include "collectives/p2p/message.h"
#include "runtime/memory/pool.h"

namespace rhz {

class Inbound {
 public:
  Inbound(PeerId partner, const MessageLimits& limits, BufferPool& pool, MessageHost& host)
      : partner_(partner), limits_(limits), pool_(pool), host_(host) {}

  void submit(Time now, MessageOp&& op);
  // Ends it as soon as nothing lands in its buffer any more.  A message that it was taking is
  // consumed.
  void cancel(Time now, MessageHandle handle, const Status& status);
  Landing on_header(Time now, const wire::FrameHeader& header);
  void on_frame(Time now, const wire::FrameHeader& header, Landing&& landing);
  // What came and has no receive is forgotten: it comes again.
  void seal();
  void install();
  // The partner is gone, or this peer is.
  void lost(Time now, const Status& status);
  // Ends what waits for its last landing; returns whether something is left.
  bool settle(Time now);

  size_t open() const { return receives_.size(); }

 private:
  struct Receive {
    MessageOp op;
    bool matched = false;
    MessageNumber number;
    Pieces pieces;
    uint32_t base = 0, granted = 0;  // pieces below are here; pieces below may come
    uint64_t beyond = 0;             // bit i: piece base + i is here
    Buffer token;                    // every landing in the caller's memory has a share in it
    Status ending;                   // not ok: how it ends once nothing lands any more
  };
  struct Arrived {  // without a receive
    ChannelKey channel;
    uint64_t bytes = 0;
    Buffer payload;  // empty: an offer, or no bytes
  };
  struct Channel {
    std::deque<MessageHandle> waiting;  // receives
    std::set<MessageNumber> arrived;
  };

  Landing on_message_header(Time now, const wire::FrameHeader& header);
  Landing on_piece_header(const wire::FrameHeader& header);
  void on_message(Time now, const wire::FrameHeader& header, Buffer payload);
  void on_piece(Time now, const wire::FrameHeader& header);
  void withdrawn(Time now, MessageNumber number, Code why);
  void match(Time now, const ChannelKey& key);
  void attach(Time now, Receive& receive, MessageNumber number, Arrived&& message);
  void pull(Receive& receive);
  bool is_due(const Receive& receive, const wire::FrameHeader& header) const;
  Receive* taker(MessageNumber number);
  bool is_taken(MessageNumber number) const { return number < seen_ && !untaken_.contains(number); }
  MessageNumber taken_upto() const { return untaken_.empty() ? seen_ : *untaken_.begin(); }
  void take(MessageNumber number);
  void say_taken(MessageNumber number);
  void end(Time now, MessageHandle handle, const Status& status);

  const PeerId partner_;
  const MessageLimits& limits_;
  BufferPool& pool_;
  MessageHost& host_;
  std::map<MessageHandle, Receive> receives_;
  std::map<ChannelKey, Channel> channels_;  // with something in them
  // Messages below seen_ have come once, of which these are not taken.  Arrived and matched ones
  // are, and those that come again.
  MessageNumber seen_;
  std::set<MessageNumber> untaken_;
  std::map<MessageNumber, Arrived> arrived_;
  std::map<MessageNumber, MessageHandle> matched_;
  std::set<MessageHandle> ending_;
  uint64_t kept_bytes_ = 0;
};

}  // namespace rhz
