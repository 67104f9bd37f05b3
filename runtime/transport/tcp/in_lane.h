// A lane's way in over TCP: reads frames, lands payloads, returns credits.  Owner: PeerLink.
// Progress thread only.
#pragma once

#include <string>
#include <vector>

#include "runtime/transport/tcp/incoming.h"

namespace rhz::tcp {

class InLane final : public Incoming {
 public:
  InLane(Shared& shared, Edge& edge, uint32_t number, uint64_t generation,
         std::function<void()> lost);

  void attach(Connection&& connection) override;
  Time tick(Time now) override;

 private:
  void read();
  ssize_t receive(size_t& wanted);
  bool digest();
  void land_buffered();
  void count_consumed(const wire::FrameHeader& header) override;
  void send_credit() override;
  void say_goodbye() override;
  void go_on() override;
  void say(std::string_view bytes);
  void write_back();
  void drop_connection() override;

  std::vector<std::byte> buffer_;
  size_t begin_ = 0, end_ = 0;  // unread bytes of buffer_
  uint64_t credited_ = 0;       // highest number that the sender was told
  uint32_t uncredited_frames_ = 0;
  uint64_t uncredited_bytes_ = 0;
  Time uncredited_since_{};
  std::string back_;  // written by us against the direction, not taken by the kernel yet
};

}  // namespace rhz::tcp
