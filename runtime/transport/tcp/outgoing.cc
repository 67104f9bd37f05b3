#include "runtime/transport/tcp/outgoing.h"

#include <sys/socket.h>

#include <algorithm>

#include "runtime/base/prng.h"

namespace rhz::tcp {
namespace {

// The port of a process that was just killed may accept for a moment longer: ask again soon ...
constexpr Duration kRetryPause = milliseconds(1);
constexpr uint32_t kQuickRetries = 20;
constexpr Duration kLaterRetryPause = milliseconds(10);
// ... and once the layer above knows, only in case the network heals.
constexpr Duration kSlowRetryPause = milliseconds(250);

}  // namespace

Outgoing::Outgoing(Shared& shared, Edge& edge, std::shared_ptr<PeerAddresses> addresses,
                   uint32_t number)
    : shared_(shared),
      edge_(edge),
      number_(number),
      queue_(shared.pool, shared.options.run_hash),
      addresses_(std::move(addresses)),
      generation_(random_u64()),
      dialer_(shared, [this](Dialer::Outcome outcome) { dialed(outcome); }) {}

void Outgoing::open() {
  if (state_ != State::kIdle) return;
  window_end_ = shared_.loop.now() + milliseconds(shared_.options.connect_ms);
  shared_.wake_at(window_end_);
  dial();
}

void Outgoing::named_anew(std::shared_ptr<PeerAddresses> addresses) {
  addresses_ = std::move(addresses);
  const Time now = shared_.loop.now();
  progress_at_ = now;
  if (state_ != State::kDialing && state_ != State::kWaiting) return;
  window_end_ = now + milliseconds(shared_.options.connect_ms);
  shared_.wake_at(window_end_);
  attempts_ = 0;
  dial();
}

void Outgoing::send(OutFrame&& frame) {
  if (state_ == State::kEnded) {
    ++shared_.counters.dropped_frames;
    return;
  }
  if (state_ == State::kIdle) open();
  const size_t bytes = wire::kHeaderBytes + frame.payload.size();
  if (takes_number(frame.header.kind)) {
    const bool copy = copies(frame);
    queue_.push(std::move(frame), copy);
  } else if (state_ == State::kUp && !queue_.has_unsent(frame.header.kind)) {
    queue_.push_urgent(frame.header);
  } else {
    return;  // a heartbeat says that this moment the process lives: it is not kept for later
  }
  if (state_ == State::kUp && !blocked_) queued(bytes);
}

void Outgoing::dial() {
  state_ = State::kDialing;
  retry_at_ = kNever;
  dialer_.start({shared_.options.self, edge_.peer(), generation_, number_}, addresses_);
}

void Outgoing::dialed(Dialer::Outcome outcome) {
  if (edge_.said_goodbye()) return end();
  switch (outcome) {
    case Dialer::Outcome::kAnswered: return answered();
    case Dialer::Outcome::kGone:
      edge_.suspect(Evidence::kRefused);
      if (finishing_) return end();
      return dial_again_after(kSlowRetryPause);
    case Dialer::Outcome::kFailed:
      if (edge_.suspected()) return dial_again_after(kSlowRetryPause);
      return dial_again_after(++attempts_ <= kQuickRetries ? kRetryPause : kLaterRetryPause);
  }
}

void Outgoing::dial_again_after(Duration pause) {
  state_ = State::kWaiting;
  retry_at_ = shared_.loop.now() + pause;
  shared_.wake_at(retry_at_);
}

void Outgoing::answered() {
  const uint64_t consumed = dialer_.consumed();
  connection_ = dialer_.take_connection();
  if (consumed < queue_.credited()) {
    // The receiver forgot this lane, having consumed what it credited: a new lane begins.
    queue_.renumber();
    generation_ = random_u64();
    connection_.close();
    return dial_again_after(kRetryPause);
  }
  if (consumed > queue_.credited()) fruitless_ = 0;
  if (!queue_.rewind(consumed)) {
    ++shared_.counters.refused_frames;
    connection_.close();
    return dial_again_after(kLaterRetryPause);
  }
  state_ = State::kUp;
  if (was_up_) ++shared_.counters.reconnects;
  was_up_ = true;
  attempts_ = 0;
  up_since_ = progress_at_ = shared_.loop.now();
  credited_when_up_ = consumed;
  blocked_ = false;
  goodbye_queued_ = false;
  begin();
}

void Outgoing::lost() {
  let_go();
  connection_.close();
  blocked_ = false;
  if (edge_.said_goodbye() || (finishing_ && !queue_.owes())) return end();
  const Time now = shared_.loop.now();
  const bool fruitful = queue_.credited() > credited_when_up_ ||
                        now - up_since_ >= milliseconds(shared_.options.reconnect_ms);
  fruitless_ = fruitful ? 0 : fruitless_ + 1;
  // Connections that break as often as they are made, while frames wait, share one window.
  if (fruitless_ <= 1 || !queue_.owes()) {
    window_end_ = now + milliseconds(shared_.options.reconnect_ms);
    shared_.wake_at(window_end_);
  }
  if (fruitless_ <= 1) return dial();
  dial_again_after(kRetryPause * (1 << std::min(fruitless_, 6u)));
}

void Outgoing::end_of_output() {
  if (goodbye_queued_) {
    ::shutdown(connection_.fd(), SHUT_WR);
    return;
  }
  goodbye_queued_ = true;
  wire::FrameHeader goodbye;
  goodbye.kind = wire::Kind::kGoodbye;
  queue_.push_urgent(goodbye);
  flush();
}

void Outgoing::finish() {
  if (finishing_ || state_ == State::kEnded || state_ == State::kIdle) return;
  finishing_ = true;
  if (state_ != State::kUp && !queue_.owes()) return end();
  if (state_ == State::kUp && !blocked_) flush();
}

void Outgoing::end() {
  state_ = State::kEnded;
  dialer_.cancel();
  let_go();
  connection_.close();
  queue_.clear();
  retry_at_ = window_end_ = kNever;
}

Time Outgoing::tick(Time now) {
  if (state_ == State::kEnded || state_ == State::kIdle) return kNever;
  if (edge_.said_goodbye() && state_ != State::kUp) {
    end();
    return kNever;
  }
  if (state_ == State::kWaiting && now >= retry_at_) dial();
  Time next = retry_at_;
  if (state_ == State::kDialing) next = std::min(next, dialer_.tick(now));
  if (state_ == State::kDialing || state_ == State::kWaiting) {
    if (now >= window_end_) {
      edge_.suspect(was_up_ ? Evidence::kReset : Evidence::kTimeout);
      window_end_ = kNever;
    }
    return std::min(next, window_end_);
  }
  if (!queue_.has_unsent()) return next;
  const Time stalled_at = progress_at_ + milliseconds(shared_.options.stall_ms);
  if (now >= stalled_at) edge_.suspect(Evidence::kStall);
  return now >= stalled_at ? next : std::min(next, stalled_at);
}

}  // namespace rhz::tcp
