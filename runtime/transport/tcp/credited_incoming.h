// A lane's way in that returns credits on its connection, as frames.  Owner: PeerLink.  Progress
// thread only.
#pragma once

#include <string>
#include <string_view>

#include "runtime/transport/tcp/incoming.h"

namespace rhz::tcp {

class CreditedIncoming : public Incoming {
 public:
  using Incoming::Incoming;

  Time tick(Time now) override;

 protected:
  void count_consumed(const wire::FrameHeader& header) override;
  void send_credit() override;
  void say_goodbye() override;
  void drop_connection() override;
  // Against the direction of the lane; what the kernel does not take waits for write_back().
  void say(std::string_view bytes);
  void write_back();

 private:
  uint64_t credited_ = 0;  // highest number that the sender was told
  uint32_t uncredited_frames_ = 0;
  uint64_t uncredited_bytes_ = 0;
  Time uncredited_since_{};
  std::string back_;  // written by us against the direction, not taken by the kernel yet
};

}  // namespace rhz::tcp
