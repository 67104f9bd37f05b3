#include "runtime/transport/tcp/control_server.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace rhz::tcp {
namespace {
// Together they cost at most 12 MiB by what they say, and what one has been told and not read (B1).
constexpr size_t kMaxStrangers = 192;
constexpr uint32_t kStrangerBytes = 64u << 10;
constexpr uint64_t kUnreadBytes = 1u << 20;
constexpr Duration kStrangerTime = std::chrono::seconds(5);
constexpr Duration kWatcherTime = std::chrono::seconds(30);
constexpr Duration kLastWords = std::chrono::seconds(1);
}  // namespace

ControlServer::ControlServer(AsioLoop& loop, const Listener& listener, uint64_t run, Events events)
    : loop_(loop), listener_(loop, listener.fd), run_(run), events_(std::move(events)) {
  listener_.on_ready([this] { accept_some(); }, [] {});
  listener_.want_read();
}

void ControlServer::accept_some() {
  while (true) {
    const int fd = ::accept4(listener_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && errno == EINTR) continue;
    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
      accept_again_ = true;  // on the next tick: it would only say so again
      return;
    }
    if (fd < 0) break;
    drop_oldest_stranger();
    TcpOptions options;
    options.socket_buffer_bytes = 0;
    tune_connected(fd, options);
    const SessionId id = next_session_++;
    ControlStream::Events events;
    events.message = [this, id](ControlMessage&& message) {
      auto at = sessions_.find(id);
      if (at == sessions_.end()) return;
      if (std::holds_alternative<StatusRequest>(message)) {
        // Whoever only looks stays a stranger, of whom there are few (B1), for as long as it keeps asking, and reads the answers.
        if (!at->second.known) {
          if (at->second.stream->queued_bytes() > kUnreadBytes) return drop_stranger(at);
          at->second.deadline = loop_.now() + kWatcherTime;
        }
      } else if (!at->second.known) {
        at->second.known = true;
        at->second.deadline = kNever;
        at->second.stream->set_largest(wire::kMaxControlBytes);
      }
      events_.message(id, std::move(message));
    };
    if (events_.vault)
      events.vault = [this, id](ConstBytes bytes) {
        const auto at = sessions_.find(id);
        if (at == sessions_.end()) return;
        if (at->second.known) return events_.vault(id, bytes);
        drop_stranger(at);
      };
    events.closed = [this, id](const Status& why) {
      refused_ += why.code() != Code::kIo;
      sessions_.erase(id);
      events_.closed(id);
    };
    Connection connection(loop_, fd);
    if (!connection) continue;
    auto stream = std::make_shared<ControlStream>(std::move(connection), run_, kStrangerBytes,
                                                  std::move(events));
    sessions_[id] = {stream, false, loop_.now() + kStrangerTime};
    stream->start();
  }
  listener_.want_read();
}

void ControlServer::drop_oldest_stranger() {
  auto is_stranger = [](const auto& entry) { return !entry.second.known; };
  const auto strangers = std::count_if(sessions_.begin(), sessions_.end(), is_stranger);
  if (static_cast<size_t>(strangers) < kMaxStrangers) return;
  drop_stranger(std::find_if(sessions_.begin(), sessions_.end(), is_stranger));
}

void ControlServer::drop_stranger(Sessions::iterator at) {
  at->second.stream->close();
  sessions_.erase(at);
  ++refused_;
}

void ControlServer::send(SessionId session, const ControlMessage& message) {
  if (auto at = sessions_.find(session); at != sessions_.end()) {
    const auto stream = at->second.stream;
    stream->send(message);
  }
}

void ControlServer::send_vault(SessionId session, ConstBytes head, ConstBytes body) {
  if (auto at = sessions_.find(session); at != sessions_.end()) {
    const auto stream = at->second.stream;
    stream->send_vault(head, body);
  }
}

void ControlServer::close(SessionId session) {
  auto at = sessions_.find(session);
  if (at == sessions_.end()) return;
  at->second.deadline = loop_.now() + kLastWords;
  at->second.stream->finish();
}

void ControlServer::close_all() {
  for (auto& [id, session] : sessions_) session.stream->close();
  sessions_.clear();
  listener_.close();
}

Time ControlServer::tick(Time now) {
  if (std::exchange(accept_again_, false)) accept_some();
  Time next = kNever;
  for (auto at = sessions_.begin(); at != sessions_.end();) {
    if (at->second.deadline > now) {
      next = std::min(next, at->second.deadline);
      ++at;
      continue;
    }
    at->second.stream->close();
    refused_ += !at->second.known;
    at = sessions_.erase(at);
  }
  return next;
}

}  // namespace rhz::tcp
