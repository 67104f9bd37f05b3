// All sends and receives of a peer, by partner: takes them from submission to their end, through
// seals and installs. A step function but for two things it calls directly: the transport, and the
// completion given at submission.  Progress thread only.
#pragma once

#include <deque>
#include <map>
#include <memory>

#include "collectives/p2p/inbound.h"
#include "collectives/p2p/outbound.h"
#include "runtime/agreement/view.h"

namespace rhz {

class Messenger final : private MessageHost {
 public:
  Messenger(PeerId self, Transport& transport, BufferPool& pool, MessageLimits limits = {})
      : self_(self), transport_(transport), pool_(pool), limits_(limits) {}

  void set_config(const RunConfig& config) { segment_bytes_ = config.segment_bytes; }

  // A partner that is no member ends it at once (R7).
  MessageHandle submit(Time now, const MessageSpec& spec, OpCompletion* completion);
  void cancel(Time now, MessageHandle handle);

  // The epoch is frozen.  Whoever calls makes the transport quiet behind it (R6), before the report
  // leaves.
  void seal();
  void install(Time now, const View& view);
  // Every send and receive ends with this status, behind quiescence.
  void end_all(Time now, const Status& status);

  Landing on_header(Time now, PeerId from, const wire::FrameHeader& header);
  void on_frame(Time now, PeerId from, const wire::FrameHeader& header, Landing&& landing);
  // Returns when it wants to be called next.
  Time tick(Time now);

  // Sends and receives that have not returned, and what of it partners have not taken.
  size_t pending() const;
  size_t open() const;

 private:
  struct Partner {
    Partner(PeerId id, Slot slot, const MessageLimits& limits, BufferPool& pool, MessageHost& host)
        : slot(slot), out(id, limits, pool, host), in(id, limits, pool, host) {}
    Slot slot;
    Outbound out;
    Inbound in;
  };

  void emit(PeerId to, LaneClass lane, OutFrame frame) override;
  bool sealed() const override { return sealed_; }
  void returned(Time now, MessageOp& op, const Status& status) override;
  void finished(MessageOp& op, const Status& status) override;
  void release(GroupId group, OpSeq serial) override { transport_.release_op(group, serial); }
  uint32_t segment_bytes() const override { return segment_bytes_; }
  OpSeq next_serial() override { return OpSeq(kMessageBit | serial_++); }

  void refuse(Time now, MessageOp&& op, const Status& status);
  void stop(Time now, MessageHandle handle, const Status& status);
  void deliver_local(Time now);
  PeerId member_at(Slot slot) const;
  Partner& with(PeerId id);

  const PeerId self_;
  Transport& transport_;
  BufferPool& pool_;
  const MessageLimits limits_;
  uint32_t segment_bytes_ = 1;

  View view_;
  bool sealed_ = true, over_ = false;
  Status over_status_;
  std::map<PeerId, std::unique_ptr<Partner>> partners_;
  uint64_t serial_ = 0;
  MessageHandle next_handle_ = kMessageBit;
  std::map<MessageHandle, Partner*> where_;  // not returned
  std::multimap<Time, MessageHandle> deadlines_;
  std::map<MessageHandle, std::multimap<Time, MessageHandle>::iterator> deadline_of_;
  std::deque<OutFrame> local_;  // to this peer itself
  bool delivering_ = false;
};

}  // namespace rhz
