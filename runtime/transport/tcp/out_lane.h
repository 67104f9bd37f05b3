// A lane's way out over TCP: frames go to the kernel, credits come back on the same connection.
// Owner: PeerLink.  Progress thread only.
#pragma once

#include "runtime/transport/tcp/credited_outgoing.h"

namespace rhz::tcp {

class OutLane final : public CreditedOutgoing {
 public:
  using CreditedOutgoing::CreditedOutgoing;
  bool reads(GroupId group, OpSeq op) override { return queue_.reads(group, op, false); }

 private:
  void begin() override;
  void flush() override;
  bool copies(const OutFrame&) const override { return number_ == 0; }
};

}  // namespace rhz::tcp
