// Plain sockets that meddle with the TCP transport: a forwarder that breaks connections, and a bare
// client.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <list>
#include <string>
#include <utility>
#include <vector>

namespace rhz::test {

inline sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}
inline uint16_t port_of(const std::string& endpoint) {
  return static_cast<uint16_t>(std::atoi(endpoint.substr(endpoint.rfind(':') + 1).c_str()));
}
inline int connect_to(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    ::close(fd);
    return -1;
  }
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}
inline int listen_at_any_port(uint16_t* port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0 || ::listen(fd, 64) != 0)
    std::abort();
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  *port = ntohs(address.sin_port);
  return fd;
}
inline void close_with_reset(int fd) {
  const linger hard{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  ::close(fd);
}
// The far side has ended the connection; what it said before is thrown away.
inline bool ended(int fd) {
  char bytes[4096];
  for (;;) {
    const ssize_t got = ::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got > 0) continue;
    return got == 0 || (errno != EAGAIN && errno != EINTR);
  }
}

// Forwards connections to a port, and resets them on demand.  pump() does the work.
class Forwarder {
 public:
  explicit Forwarder(uint16_t target) : target_(target), listener_(listen_at_any_port(&port_)) {}
  ~Forwarder() {
    reset_all();
    ::close(listener_);
  }
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;

  std::string endpoint() const { return "127.0.0.1:" + std::to_string(port_); }
  // Resets the connections once this many more bytes have passed forwards.
  void reset_after(size_t bytes) { allowance_ = bytes; }
  void reset_all() {
    for (const Pair& pair : pairs_) {
      close_with_reset(pair.near);
      close_with_reset(pair.far);
    }
    resets += pairs_.size();
    pairs_.clear();
  }
  void pump() {
    for (int fd;
         (fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
      if (reset_on_accept) {
        close_with_reset(fd);
        continue;
      }
      pairs_.push_back({fd, connect_to(target_), {}, {}});
      spoil(pairs_.back().forth_spoilt, hellos_to_damage);
      spoil(pairs_.back().back_spoilt, answers_to_damage);
    }
    for (auto pair = pairs_.begin(); pair != pairs_.end();) {
      const bool alive = move(pair->near, pair->far, pair->forth, pair->forth_spoilt, &allowance_) &&
                         move(pair->far, pair->near, pair->back, pair->back_spoilt, nullptr);
      if (allowance_ == 0) {
        allowance_ = SIZE_MAX;
        return reset_all();
      }
      if (alive) {
        ++pair;
        continue;
      }
      ::close(pair->near);
      ::close(pair->far);
      pair = pairs_.erase(pair);
    }
  }

  bool reset_on_accept = false;
  size_t resets = 0;
  // Of so many of the next connections the version's byte in what is said first is another one.
  int hellos_to_damage = 0, answers_to_damage = 0;

 private:
  struct Pair {
    int near, far;
    std::string forth, back;  // taken from one side, not given to the other yet
    bool forth_spoilt = false, back_spoilt = false;
  };
  static void spoil(bool& spoilt, int& how_many) {
    spoilt = how_many > 0;
    how_many -= spoilt;
  }
  static bool move(int from, int to, std::string& waiting, bool& spoilt, size_t* allowance) {
    if (waiting.empty()) {
      char bytes[65536];
      const ssize_t got = ::recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
      if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return false;
      if (got > 0) waiting.assign(bytes, static_cast<size_t>(got));
      if (got > kVersionAt && std::exchange(spoilt, false)) waiting[kVersionAt] ^= 1;
    }
    if (waiting.empty()) return true;
    size_t size = waiting.size();
    if (allowance) size = std::min(size, *allowance);
    const ssize_t given = ::send(to, waiting.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (given > 0) {
      waiting.erase(0, static_cast<size_t>(given));
      if (allowance && *allowance != SIZE_MAX) *allowance -= static_cast<size_t>(given);
    }
    return true;
  }

  static constexpr int kVersionAt = 4;
  const uint16_t target_;
  uint16_t port_ = 0;
  int listener_;
  std::list<Pair> pairs_;
  size_t allowance_ = SIZE_MAX;
};

}  // namespace rhz::test
