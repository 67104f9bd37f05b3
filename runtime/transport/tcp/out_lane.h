// The sender's side of one lane: its queue, its connection, and how that is won back.  Owner:
// PeerLink.  Progress thread only.
//
//   idle ──open──▶ dialing ──answered──▶ up          up ──lost──▶ dialing, at once
//                  dialing ──failed, refused──▶ waiting ──time──▶ dialing
//   any ──goodbye of the peer, own goodbye answered──▶ ended
//
// The peer is suspected when every address refuses (hard evidence, at once), or when a window
// closes without a connection. Attempts go on after that, slowly: a cut network may heal before
// anybody is evicted.
#pragma once

#include <array>
#include <memory>

#include "runtime/transport/tcp/connection.h"
#include "runtime/transport/tcp/dialer.h"
#include "runtime/transport/tcp/edge.h"
#include "runtime/transport/tcp/peer_addresses.h"
#include "runtime/transport/tcp/send_queue.h"
#include "runtime/transport/tcp/shared.h"

namespace rhz::tcp {

class OutLane {
 public:
  OutLane(Shared& shared, Edge& edge, std::shared_ptr<PeerAddresses> addresses, uint32_t number);

  void open();  // connects, unless it ever did
  void named_anew(std::shared_ptr<PeerAddresses> addresses);
  void send(OutFrame&& frame);

  void quiesce() { queue_.quiesce(); }
  void release(GroupId group, OpSeq op) { queue_.release(group, op); }

  void finish();  // says GOODBYE behind all that waits
  bool finished() const { return state_ == State::kIdle || state_ == State::kEnded; }

  size_t queued_bytes() const { return queue_.unsent_bytes(); }
  Time tick(Time now);

 private:
  enum class State : uint8_t { kIdle, kDialing, kWaiting, kUp, kEnded };
  void dial();
  void dialed(Dialer::Outcome outcome);
  void dial_again_after(Duration pause);
  void up();
  void lost();
  void flush();
  void end_of_output();
  void read_back();
  bool heard(const wire::FrameHeader& header);
  void end();

  Shared& shared_;
  Edge& edge_;
  std::shared_ptr<PeerAddresses> addresses_;
  const uint32_t number_;
  uint64_t generation_;
  SendQueue queue_;
  Connection connection_;
  Dialer dialer_;
  State state_ = State::kIdle;

  Time retry_at_ = kNever;    // while waiting
  Time window_end_ = kNever;  // suspected when not connected by then
  uint32_t attempts_ = 0;     // that failed in this window
  uint32_t fruitless_ = 0;    // connections in a row that broke before anything came of them
  bool was_up_ = false;
  Time up_since_{};
  uint64_t credited_when_up_ = 0;
  bool blocked_ = false;  // the kernel takes no more for now
  Time progress_at_{};    // when bytes last moved while some waited
  bool finishing_ = false;
  bool goodbye_queued_ = false;  // on this connection

  std::array<std::byte, 32 * wire::kHeaderBytes> back_;  // what came against the lane's direction
  size_t back_bytes_ = 0;
};

}  // namespace rhz::tcp
