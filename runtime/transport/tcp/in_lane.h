// The receiver's side of one lane: reads frames, lands payloads, tells the layer above, returns
// credits.  It outlives its connections: a resumed one goes on behind the last frame consumed.
// Owner: PeerLink.  Progress thread only.
//
// The layer above may do anything in on_header and on_frame, even end this lane; every step after
// such a call checks for it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/transport/tcp/connection.h"
#include "runtime/transport/tcp/edge.h"
#include "runtime/transport/tcp/shared.h"
#include "runtime/wire/frame.h"

namespace rhz::tcp {

class InLane : public std::enable_shared_from_this<InLane> {
 public:
  // `lost`: the connection ended without GOODBYE.
  InLane(Shared& shared, Edge& edge, uint32_t number, uint64_t generation,
         std::function<void()> lost);

  uint64_t generation() const { return generation_; }
  // A connection whose hello was accepted: answers it, and reads from it instead of from the one
  // before.
  void attach(Connection&& connection);
  void quiesce();  // no payload lands in caller memory from now on
  void resume();   // offers a held frame again
  void finish();   // says GOODBYE against the direction; what still comes is not offered
  void end();
  bool finished() const { return !connection_; }
  Time tick(Time now);

 private:
  // The frame whose payload is arriving, or which is held.
  struct Arrival {
    wire::FrameHeader header;
    Landing landing;
    uint32_t got = 0;
    bool silent = false;  // not told upwards: a duplicate, a VOID, or this transport is closing
  };

  void read();
  ssize_t receive(size_t& wanted);
  bool digest();
  bool begin(const wire::FrameHeader& header);
  bool in_sequence(const wire::FrameHeader& header);
  bool offer();
  void land_buffered();
  bool complete();
  void count_consumed(const wire::FrameHeader& header);
  void send_credit();
  void say(std::string_view bytes);
  void write_back();
  bool refuse();
  void drop_connection();

  Shared& shared_;
  Edge& edge_;
  const uint32_t number_;
  const uint64_t generation_;
  const std::function<void()> lost_;
  Connection connection_;
  uint64_t connection_count_ = 0;  // tells one connection from the next

  std::vector<std::byte> buffer_;
  size_t begin_ = 0, end_ = 0;  // unread bytes of buffer_
  Arrival arrival_;
  bool arriving_ = false;
  bool held_ = false;
  bool finishing_ = false;

  uint64_t consumed_ = 0;  // highest number
  uint64_t credited_ = 0;  // highest number that the sender was told
  uint32_t uncredited_frames_ = 0;
  uint64_t uncredited_bytes_ = 0;
  Time uncredited_since_{};
  std::string back_;  // written by us against the direction, not taken by the kernel yet
};

}  // namespace rhz::tcp
