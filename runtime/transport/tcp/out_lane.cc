#include "runtime/transport/tcp/out_lane.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "runtime/base/prng.h"

namespace rhz::tcp {
namespace {

// Pieces of one sendmsg: 32 frames of header and payload.
constexpr size_t kPieces = 64;
// The port of a process that was just killed may accept for a moment longer: ask again soon ...
constexpr Duration kRetryPause = milliseconds(1);
constexpr uint32_t kQuickRetries = 20;
constexpr Duration kLaterRetryPause = milliseconds(10);
// ... and once the layer above knows, only in case the network heals.
constexpr Duration kSlowRetryPause = milliseconds(250);

}  // namespace

OutLane::OutLane(Shared& shared, Edge& edge, std::shared_ptr<PeerAddresses> addresses,
                 uint32_t number)
    : shared_(shared),
      edge_(edge),
      addresses_(std::move(addresses)),
      number_(number),
      generation_(random_u64()),
      queue_(shared.pool, shared.options.run_hash),
      dialer_(shared, [this](Dialer::Outcome outcome) { dialed(outcome); }) {}

void OutLane::open() {
  if (state_ != State::kIdle) return;
  window_end_ = shared_.loop.now() + milliseconds(shared_.options.connect_ms);
  shared_.wake_at(window_end_);
  dial();
}

void OutLane::named_anew(std::shared_ptr<PeerAddresses> addresses) {
  addresses_ = std::move(addresses);
  const Time now = shared_.loop.now();
  progress_at_ = now;
  if (state_ != State::kDialing && state_ != State::kWaiting) return;
  window_end_ = now + milliseconds(shared_.options.connect_ms);
  shared_.wake_at(window_end_);
  attempts_ = 0;
  dial();
}

void OutLane::send(OutFrame&& frame) {
  if (state_ == State::kEnded) {
    ++shared_.counters.dropped_frames;
    return;
  }
  if (state_ == State::kIdle) open();
  if (takes_number(frame.header.kind)) {
    queue_.push(std::move(frame), number_ == 0);
  } else if (state_ == State::kUp && !queue_.has_unsent(frame.header.kind)) {
    queue_.push_urgent(frame.header);
  } else {
    return;  // a heartbeat says that this moment the process lives: it is not kept for later
  }
  if (state_ == State::kUp && !blocked_) flush();
}

void OutLane::dial() {
  state_ = State::kDialing;
  retry_at_ = kNever;
  dialer_.start({shared_.options.self, edge_.peer(), generation_, number_}, addresses_);
}

void OutLane::dialed(Dialer::Outcome outcome) {
  if (edge_.said_goodbye()) return end();
  switch (outcome) {
    case Dialer::Outcome::kAnswered: return up();
    case Dialer::Outcome::kGone:
      edge_.suspect(Evidence::kRefused);
      if (finishing_) return end();
      return dial_again_after(kSlowRetryPause);
    case Dialer::Outcome::kFailed:
      if (edge_.suspected()) return dial_again_after(kSlowRetryPause);
      return dial_again_after(++attempts_ <= kQuickRetries ? kRetryPause : kLaterRetryPause);
  }
}

void OutLane::dial_again_after(Duration pause) {
  state_ = State::kWaiting;
  retry_at_ = shared_.loop.now() + pause;
  shared_.wake_at(retry_at_);
}

void OutLane::up() {
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
  back_bytes_ = 0;
  connection_.on_ready([this] { read_back(); },
                       [this] {
                         blocked_ = false;
                         flush();
                       });
  connection_.want_read();
  goodbye_queued_ = false;
  flush();
}

// EOF, reset, or bytes that make no sense.
void OutLane::lost() {
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

void OutLane::flush() {
  iovec pieces[kPieces];
  while (queue_.has_unsent()) {
    msghdr message{};
    message.msg_iov = pieces;
    message.msg_iovlen = queue_.gather(pieces);
    size_t wanted = 0;
    for (size_t i = 0; i < message.msg_iovlen; ++i) wanted += pieces[i].iov_len;
    const ssize_t written = ::sendmsg(connection_.fd(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno != EAGAIN && errno != ENOBUFS) {
      // Its last words may be here already: a GOODBYE makes this no failure.
      read_back();
      if (state_ == State::kUp) lost();
      return;
    }
    if (written > 0) {
      shared_.counters.sent_frames += queue_.wrote(static_cast<size_t>(written));
      shared_.counters.sent_bytes += static_cast<size_t>(written);
    }
    if (written < 0 || static_cast<size_t>(written) < wanted) {
      progress_at_ = shared_.loop.now();
      blocked_ = true;
      connection_.want_write();
      return;
    }
  }
  if (finishing_) end_of_output();
}

void OutLane::end_of_output() {
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

void OutLane::read_back() {
  while (state_ == State::kUp) {
    const ssize_t got = ::recv(connection_.fd(), back_.data() + back_bytes_,
                               back_.size() - back_bytes_, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) break;
    if (got <= 0) return lost();
    back_bytes_ += static_cast<size_t>(got);
    const bool drained = back_bytes_ < back_.size();
    size_t at = 0;
    for (; back_bytes_ - at >= wire::kHeaderBytes; at += wire::kHeaderBytes) {
      const auto header = wire::decode_header(back_.data() + at);
      if (header && heard(header.value())) {
        if (state_ == State::kUp) continue;
        return;
      }
      ++shared_.counters.refused_frames;
      return lost();
    }
    std::memmove(back_.data(), back_.data() + at, back_bytes_ - at);
    back_bytes_ -= at;
    if (drained) break;
  }
  if (state_ == State::kUp) connection_.want_read();
}

bool OutLane::heard(const wire::FrameHeader& header) {
  if (header.run != shared_.options.run_hash || header.length != 0) return false;
  if (header.kind == wire::Kind::kGoodbye) {
    edge_.heard_goodbye();
    end();
    return true;
  }
  if (header.kind != wire::Kind::kCredit || !queue_.credit(header.lane_seq)) return false;
  if (queue_.has_unsent()) progress_at_ = shared_.loop.now();
  return true;
}

void OutLane::finish() {
  if (finishing_ || state_ == State::kEnded || state_ == State::kIdle) return;
  finishing_ = true;
  if (state_ != State::kUp && !queue_.owes()) return end();
  if (state_ == State::kUp && !blocked_) flush();
}

void OutLane::end() {
  state_ = State::kEnded;
  dialer_.cancel();
  connection_.close();
  queue_.clear();
  retry_at_ = window_end_ = kNever;
}

Time OutLane::tick(Time now) {
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
