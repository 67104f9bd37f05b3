// A lane's way out over TCP: frames go to the kernel, credits come back on the same connection.
// Owner: PeerLink.  Progress thread only.
#pragma once

#include <array>

#include "runtime/transport/tcp/outgoing.h"

namespace rhz::tcp {

class OutLane final : public Outgoing {
 public:
  using Outgoing::Outgoing;

 private:
  void begin() override;
  void flush() override;
  bool copies(const OutFrame&) const override { return number_ == 0; }
  void read_back();
  bool heard(const wire::FrameHeader& header);

  std::array<std::byte, 32 * wire::kHeaderBytes> back_;  // what came against the lane's direction
  size_t back_bytes_ = 0;
};

}  // namespace rhz::tcp
