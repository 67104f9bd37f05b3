// A lane's way out over TCP: frames go to the kernel, credits come back on the same connection.
// Bulk frames that are queued in one turn of the loop leave by one system call, half a megabyte at a
// time: what a call costs beside its copying is mostly in its end (docs/results.md, section 6).
// Owner: PeerLink.  Progress thread only.
#pragma once

#include <memory>

#include "runtime/transport/tcp/credited_outgoing.h"

namespace rhz::tcp {

class OutLane final : public CreditedOutgoing {
 public:
  using CreditedOutgoing::CreditedOutgoing;
  bool reads(GroupId group, OpSeq op) override { return queue_.reads(group, op, false); }

 private:
  void begin() override;
  void flush() override;
  void queued(size_t bytes) override;
  bool copies(const OutFrame&) const override { return number_ == 0; }

  bool gathering_ = false;  // until the end of this turn of the loop
  size_t gathered_ = 0;     // bytes, since the last flush
  const std::shared_ptr<OutLane*> alive_ = std::make_shared<OutLane*>(this);  // for what the loop still holds
};

}  // namespace rhz::tcp
