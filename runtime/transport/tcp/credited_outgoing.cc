#include "runtime/transport/tcp/credited_outgoing.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace rhz::tcp {

void CreditedOutgoing::read_back() {
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

bool CreditedOutgoing::heard(const wire::FrameHeader& header) {
  if (header.run != shared_.options.run_hash || header.length != 0) return false;
  if (header.kind == wire::Kind::kGoodbye) {
    edge_.heard_goodbye();
    end();
    return true;
  }
  if (header.kind != wire::Kind::kCredit || !queue_.credit(header.lane_seq)) return false;
  if (queue_.has_unsent()) note_progress();
  credited();
  return true;
}

}  // namespace rhz::tcp
