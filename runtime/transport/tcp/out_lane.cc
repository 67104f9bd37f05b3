#include "runtime/transport/tcp/out_lane.h"

#include <sys/socket.h>

#include <cerrno>

namespace rhz::tcp {
namespace {

// Pieces of one sendmsg: 32 frames of header and payload.
constexpr size_t kPieces = 64;
// That wait for the end of the turn; as much as a socket within a host takes at once.
constexpr size_t kGatherBytes = size_t{512} << 10;

}  // namespace

void OutLane::begin() {
  forget_back();
  connection_.on_ready([this] { read_back(); },
                       [this] {
                         blocked_ = false;
                         flush();
                       });
  connection_.want_read();
  flush();
}

void OutLane::queued(size_t bytes) {
  gathered_ += bytes;
  if (number_ == 0 || gathered_ >= kGatherBytes) return flush();
  note_progress();
  if (gathering_) return;
  gathering_ = true;
  shared_.post(std::weak_ptr(alive_), [](OutLane* lane) {
    lane->gathering_ = false;
    if (lane->up() && !lane->blocked_) lane->flush();
  });
}

void OutLane::flush() {
  gathered_ = 0;
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

}  // namespace rhz::tcp
