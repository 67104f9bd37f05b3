// The sender's side of one lane, whatever carries it: its queue, its connection, and how that is
// won back.  How frames travel over a connection that stands is the business of the classes derived
// from this.  Owner: PeerLink.  Progress thread only.
//
//   idle ──open──▶ dialing ──answered──▶ up          up ──lost──▶ dialing, at once
//                  dialing ──failed, refused──▶ waiting ──time──▶ dialing
//   any ──goodbye of the peer, own goodbye answered──▶ ended
//
// The peer is suspected when every address refuses (hard evidence, at once), or when a window
// closes without a connection. Attempts go on after that, slowly: a cut network may heal before
// anybody is evicted.
#pragma once

#include <memory>

#include "runtime/transport/tcp/connection.h"
#include "runtime/transport/tcp/dialer.h"
#include "runtime/transport/tcp/edge.h"
#include "runtime/transport/tcp/peer_addresses.h"
#include "runtime/transport/tcp/send_queue.h"
#include "runtime/transport/tcp/shared.h"

namespace rhz::tcp {

class Outgoing {
 public:
  Outgoing(Shared& shared, Edge& edge, std::shared_ptr<PeerAddresses> addresses, uint32_t number);
  virtual ~Outgoing() = default;
  Outgoing(const Outgoing&) = delete;
  Outgoing& operator=(const Outgoing&) = delete;

  void open();  // connects, unless it ever did
  void named_anew(std::shared_ptr<PeerAddresses> addresses);
  void send(OutFrame&& frame);

  virtual void quiesce() { queue_.quiesce(); }
  virtual void release(GroupId group, OpSeq op) { queue_.release(group, op); }

  virtual bool reads(GroupId group, OpSeq op) { return queue_.reads(group, op, true); }

  void finish();  // says GOODBYE behind all that waits
  bool finished() const { return state_ == State::kIdle || state_ == State::kEnded; }

  size_t queued_bytes() const { return queue_.unsent_bytes(); }
  virtual Time tick(Time now);

 protected:
  enum class State : uint8_t { kIdle, kDialing, kWaiting, kUp, kEnded };

  // A connection stands and the queue is rewound to what the receiver has not consumed.
  virtual void begin() = 0;
  // Carries what waits, as far as it is taken; ends with end_of_output() when all of it was and the
  // lane is finishing.
  virtual void flush() = 0;
  // A frame of so many bytes was queued while more is taken: flush(), or soon.
  virtual void queued(size_t) { flush(); }
  // The connection is over, or about to be: lets go what belongs to it.
  virtual void let_go() {}
  // Whether this frame's payload has to be copied when it is queued.
  virtual bool copies(const OutFrame& frame) const = 0;

  bool up() const { return state_ == State::kUp; }
  void lost();  // EOF, reset, or bytes that make no sense
  void end();
  bool finishing() const { return finishing_; }
  void end_of_output();
  void note_progress() { progress_at_ = shared_.loop.now(); }

  Shared& shared_;
  Edge& edge_;
  const uint32_t number_;
  SendQueue queue_;
  Connection connection_;
  bool blocked_ = false;  // no more is taken for now

 private:
  void dial();
  void dialed(Dialer::Outcome outcome);
  void dial_again_after(Duration pause);
  void answered();

  std::shared_ptr<PeerAddresses> addresses_;
  uint64_t generation_;
  Dialer dialer_;
  State state_ = State::kIdle;

  Time retry_at_ = kNever;    // while waiting
  Time window_end_ = kNever;  // suspected when not connected by then
  uint32_t attempts_ = 0;     // that failed in this window
  uint32_t fruitless_ = 0;    // connections in a row that broke before anything came of them
  bool was_up_ = false;
  Time up_since_{};
  uint64_t credited_when_up_ = 0;
  Time progress_at_{};  // when bytes last moved while some waited
  bool finishing_ = false;
  bool goodbye_queued_ = false;  // on this connection
};

}  // namespace rhz::tcp
