// The receiver's side of one lane, whatever carries it: checks frames, asks where payloads go,
// tells the layer above.  It outlives its connections: a resumed one goes on behind the last frame
// consumed.  How bytes come is the business of the classes derived from this.
// Owner: PeerLink.  Progress thread only.
//
// The layer above may do anything in on_header and on_frame, even end this lane; every step after
// such a call checks for it.
#pragma once

#include <functional>
#include <memory>

#include "runtime/transport/tcp/connection.h"
#include "runtime/transport/tcp/edge.h"
#include "runtime/transport/tcp/shared.h"
#include "runtime/wire/frame.h"

namespace rhz::tcp {

class Incoming : public std::enable_shared_from_this<Incoming> {
 public:
  // `lost`: the connection ended without GOODBYE.
  Incoming(Shared& shared, Edge& edge, uint32_t number, uint64_t generation,
           std::function<void()> lost);
  virtual ~Incoming() = default;
  Incoming(const Incoming&) = delete;
  Incoming& operator=(const Incoming&) = delete;

  uint64_t generation() const { return generation_; }
  // A connection whose hello was accepted: answers it, and reads from it instead of from the one
  // before.
  virtual void attach(Connection&& connection) = 0;
  void quiesce();  // no payload lands in caller memory from now on
  void resume();   // offers a held frame again
  void finish();   // says GOODBYE against the direction; what still comes is not offered
  void end() { drop_connection(); }
  bool finished() const { return !connection_; }
  virtual Time tick(Time) { return kNever; }

 protected:
  // The frame whose payload is arriving, or which is held.
  struct Arrival {
    wire::FrameHeader header;
    Landing landing;
    uint32_t got = 0;
    bool silent = false;  // not told upwards: a duplicate, a VOID, or this transport is closing
  };

  // Each returns false when the connection is gone.
  bool begin(const wire::FrameHeader& header);
  bool complete();
  bool pass(const wire::FrameHeader& heartbeat);  // that came beside the frames
  bool refuse();

  // A frame that was arriving or held will be sent again.
  virtual void drop_connection();
  // A numbered frame was consumed: consumed_ stands at it.
  virtual void count_consumed(const wire::FrameHeader& header) = 0;
  // The sender is to know now what was consumed.
  virtual void send_credit() = 0;
  virtual void say_goodbye() = 0;
  // Works off what has come, after a pause.
  virtual void go_on() = 0;

  Shared& shared_;
  Edge& edge_;
  const uint32_t number_;
  Connection connection_;
  uint64_t connection_count_ = 0;  // tells one connection from the next
  Arrival arrival_;
  bool arriving_ = false;
  bool held_ = false;
  uint64_t consumed_ = 0;  // highest number
  const std::function<void()> lost_;

 private:
  bool in_sequence(const wire::FrameHeader& header);
  bool offer();

  const uint64_t generation_;
  bool finishing_ = false;
};

}  // namespace rhz::tcp
