#include "runtime/transport/tcp/out_lane.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace rhz::tcp {
namespace {

// Pieces of one sendmsg: 32 frames of header and payload.
constexpr size_t kPieces = 64;

}  // namespace

void OutLane::begin() {
  back_bytes_ = 0;
  connection_.on_ready([this] { read_back(); },
                       [this] {
                         blocked_ = false;
                         flush();
                       });
  connection_.want_read();
  flush();
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
      if (up()) lost();
      return;
    }
    if (written > 0) {
      shared_.counters.sent_frames += queue_.wrote(static_cast<size_t>(written));
      shared_.counters.sent_bytes += static_cast<size_t>(written);
    }
    if (written < 0 || static_cast<size_t>(written) < wanted) {
      note_progress();
      blocked_ = true;
      connection_.want_write();
      return;
    }
  }
  if (finishing()) end_of_output();
}

void OutLane::read_back() {
  while (up()) {
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
        if (up()) continue;
        return;
      }
      ++shared_.counters.refused_frames;
      return lost();
    }
    std::memmove(back_.data(), back_.data() + at, back_bytes_ - at);
    back_bytes_ -= at;
    if (drained) break;
  }
  if (up()) connection_.want_read();
}

bool OutLane::heard(const wire::FrameHeader& header) {
  if (header.run != shared_.options.run_hash || header.length != 0) return false;
  if (header.kind == wire::Kind::kGoodbye) {
    edge_.heard_goodbye();
    end();
    return true;
  }
  if (header.kind != wire::Kind::kCredit || !queue_.credit(header.lane_seq)) return false;
  if (queue_.has_unsent()) note_progress();
  return true;
}

}  // namespace rhz::tcp
