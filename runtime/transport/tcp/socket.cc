#include "runtime/transport/tcp/socket.h"

#include <netinet/tcp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>

namespace rhz::tcp {
namespace {

constexpr int kListenBacklog = 512;             // a whole job may connect at once
// Within a host no wire has to be kept full, and what waits in a buffer should still be in a cache when it is read:
// with 4 MiB, moving 64 MiB takes up to a fifth longer (docs/results.md, section 6).
constexpr int kOneHostBytes = 512 << 10;
constexpr int kStrangerBufferBytes = 32 << 10;  // the kernel doubles it: 64 KiB (B1)

void set_option(int fd, int level, int name, int value) {
  (void)setsockopt(fd, level, name, &value, sizeof value);
}

void set_buffers(int fd, uint32_t size) {
  if (size == 0) return;
  const auto bytes = static_cast<int>(size);
  set_option(fd, SOL_SOCKET, SO_SNDBUF, bytes);
  set_option(fd, SOL_SOCKET, SO_RCVBUF, bytes);
}

// The receive buffer stays as large as it is: what the kernel has announced of it, and then finds no room for, it drops,
// and the sender waits out a retransmission timer.
void keep_little_on_the_way(int fd, int buffer_bytes) {
  if (buffer_bytes < kOneHostBytes) return;  // 0: the kernel tunes both
  set_option(fd, SOL_SOCKET, SO_SNDBUF, kOneHostBytes);
  set_option(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, kOneHostBytes);
}

Status system_error(Code code, const std::string& what, int error) {
  return {code, what + ": " + std::generic_category().message(error)};
}

SocketAddress name_of(int fd, int (*ask)(int, sockaddr*, socklen_t*)) {
  SocketAddress name;
  name.length = sizeof name.storage;
  if (ask(fd, name.get(), &name.length) != 0) return {};
  return name;
}

Result<Listener> listen_at(const SocketAddress& address, const TcpOptions& options) {
  const int fd = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return system_error(Code::kIo, "no socket for " + address.text(), errno);
  set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (address.family() == AF_INET6) set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  // Before listen(): the window that a connection can ever have is settled by its first packet.
  set_buffers(fd, options.socket_buffer_bytes);
  if (::bind(fd, address.get(), address.length) == 0 && ::listen(fd, kListenBacklog) == 0)
    return Listener{fd, name_of(fd, getsockname)};
  const int error = errno;
  ::close(fd);
  if (error == EADDRINUSE) {
    return Status(Code::kAddressInUse, "address " + address.text() +
                                           " is in use: end the process that listens there, or "
                                           "choose another port (port 0 takes a free one)");
  }
  return system_error(Code::kIo, "cannot listen on " + address.text(), error);
}

}  // namespace

Result<Listener> listen_on(const TcpOptions& options) {
  const auto where = parse_address(options.listen);
  if (!where) return where.status();
  auto addresses = resolve(where.value(), Lookup::kNames);
  if (!addresses) return addresses.status();
  if (where.value().host.empty()) {
    // IPv6 first, which takes IPv4 as well.
    std::vector<SocketAddress> sorted;
    for (const int family : {AF_INET6, AF_INET})
      for (const SocketAddress& a : addresses.value())
        if (a.family() == family) sorted.push_back(a);
    addresses.value() = sorted;
  }
  Status first;
  for (const SocketAddress& address : addresses.value()) {
    auto listener = listen_at(address, options);
    if (listener || listener.status().code() == Code::kAddressInUse) return listener;
    if (first.is_ok()) first = listener.status();
  }
  return first;
}

int start_connect(const SocketAddress& to, const TcpOptions& options) {
  const int fd = ::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  set_buffers(fd, options.socket_buffer_bytes);
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (::connect(fd, to.get(), to.length) == 0 || errno == EINPROGRESS) return fd;
  const int error = errno;
  ::close(fd);
  errno = error;
  return -1;
}

void tune_connected(int fd, const TcpOptions& options) {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  const SocketAddress here = name_of(fd, getsockname), there = name_of(fd, getpeername);
  const bool one_host = there.is_loopback() || there.same_host(here);
  set_buffers(fd, options.socket_buffer_bytes);
  if (one_host) keep_little_on_the_way(fd, static_cast<int>(options.socket_buffer_bytes));
  std::string wanted = options.congestion;
  if (wanted.empty() && one_host) {
    char current[16] = "";
    socklen_t length = sizeof current;
    if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, current, &length) == 0 &&
        std::string_view(current).starts_with("bbr"))
      wanted = "reno";
  }
  // Not permitted in some containers: then the system's stays.
  if (!wanted.empty())
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, wanted.data(),
                     static_cast<socklen_t>(wanted.size()));
}

void limit_stranger(int fd) { set_option(fd, SOL_SOCKET, SO_RCVBUF, kStrangerBufferBytes); }

bool connected_to_itself(int fd) {
  const SocketAddress here = name_of(fd, getsockname), there = name_of(fd, getpeername);
  return here.same_host(there) && here.port() == there.port();
}

}  // namespace rhz::tcp
