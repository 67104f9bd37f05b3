// The sends to one partner: numbers them, keeps each until the partner has taken it, and sends
// again what is unanswered after an install (R1, R2, R5).  A step function; progress thread only.
#pragma once

#include <map>

#include "collectives/p2p/message.h"
#include "runtime/memory/pool.h"

namespace rhz {

class Outbound {
 public:
  Outbound(PeerId partner, const MessageLimits& limits, BufferPool& pool, MessageHost& host)
      : partner_(partner), limits_(limits), pool_(pool), host_(host) {}

  void submit(Time now, MessageOp&& op);
  // Ends it, unless it has returned.  The partner is told that the message is withdrawn.
  void cancel(Time now, MessageHandle handle, const Status& status);
  void on_pull(const wire::FrameHeader& header);
  void on_taken(Time now, const wire::FrameHeader& header);
  void install();
  // The partner is gone, or this peer is.
  void lost(Time now, const Status& status);

  // Not taken.
  size_t open() const { return sends_.size(); }
  // … and not returned.
  size_t pending() const { return handles_.size(); }

 private:
  struct Send {
    MessageOp op;
    OpSeq serial;
    Pieces pieces;
    Buffer copy;         // empty: the caller's memory is read
    bool whole = false;  // goes in one frame
    bool returned = false;
    uint32_t next = 0;  // piece
    Code withdrawn = Code::kOk;
  };
  void send(MessageNumber number, Send& send);
  bool keep(Send& send);
  void give_back(Send& send);
  void taken(Time now, std::map<MessageNumber, Send>::iterator at);

  const PeerId partner_;
  const MessageLimits& limits_;
  BufferPool& pool_;
  MessageHost& host_;
  MessageNumber next_;
  std::map<MessageNumber, Send> sends_;
  std::map<MessageHandle, MessageNumber> handles_;  // not returned
  uint64_t kept_bytes_ = 0;
};

}  // namespace rhz
