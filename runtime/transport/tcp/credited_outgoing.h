// A lane's way out whose credits come back on its connection, as frames.  Owner: PeerLink. Progress
// thread only.
#pragma once

#include <array>

#include "runtime/transport/tcp/outgoing.h"

namespace rhz::tcp {

class CreditedOutgoing : public Outgoing {
 public:
  using Outgoing::Outgoing;

 protected:
  // A new connection: nothing of the one before counts.
  void forget_back() { back_bytes_ = 0; }
  // Takes in what has come, and asks to be called for more.
  void read_back();
  // The receiver has consumed more.
  virtual void credited() {}

 private:
  bool heard(const wire::FrameHeader& header);

  std::array<std::byte, 32 * wire::kHeaderBytes> back_;  // what came against the lane's direction
  size_t back_bytes_ = 0;
};

}  // namespace rhz::tcp
