#include "runtime/transport/shm/sockets.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "runtime/transport/transport.h"

namespace rhz::shm {
namespace {

constexpr int kListenBacklog = 512;  // a whole job may connect at once
constexpr std::string_view kPrefix = "rhizome-";

// Takes the descriptors out of a message; at most one is kept.
int descriptor_in(const msghdr& message) {
  int found = -1;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(const_cast<msghdr*>(&message), c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      if (found < 0)
        found = fd;
      else
        ::close(fd);
    }
  }
  return found;
}

}  // namespace

std::string endpoint_of(uint64_t run_hash, PeerId self) {
  char name[64];
  std::snprintf(
      name, sizeof name, "%016llx-%016llx%016llx", static_cast<unsigned long long>(run_hash),
      static_cast<unsigned long long>(self.high), static_cast<unsigned long long>(self.low));
  return std::string(kShmScheme) + name;
}

std::optional<tcp::SocketAddress> address_of(std::string_view endpoint) {
  if (!endpoint.starts_with(kShmScheme)) return std::nullopt;
  const std::string_view name = endpoint.substr(kShmScheme.size());
  tcp::SocketAddress address;
  auto& to = reinterpret_cast<sockaddr_un&>(address.storage);
  // An abstract name begins with a zero byte.
  if (name.empty() || 1 + kPrefix.size() + name.size() > sizeof to.sun_path) return std::nullopt;
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path + 1, kPrefix.data(), kPrefix.size());
  std::memcpy(to.sun_path + 1 + kPrefix.size(), name.data(), name.size());
  address.length =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + kPrefix.size() + name.size());
  return address;
}

Result<tcp::Listener> listen_at(std::string_view endpoint) {
  const auto address = address_of(endpoint);
  if (!address)
    return Status(Code::kArgument, "no name for shared memory: " + std::string(endpoint));
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0 && ::bind(fd, address->get(), address->length) == 0 &&
      ::listen(fd, kListenBacklog) == 0)
    return tcp::Listener{fd, *address};
  const int error = errno;
  if (fd >= 0) ::close(fd);
  return Status(Code::kIo,
                "cannot listen for peers of this host: " + std::generic_category().message(error));
}

std::optional<Credentials> credentials_of(int fd) {
  ucred found{};
  socklen_t length = sizeof found;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &found, &length) != 0) return std::nullopt;
  return Credentials{found.pid, found.uid};
}

bool same_user(int fd) {
  const auto other = credentials_of(fd);
  return other && other->uid == geteuid();
}

void say(int fd, Word word) { (void)::send(fd, &word, 1, MSG_NOSIGNAL | MSG_DONTWAIT); }

bool send_memory(int fd, int memory) {
  Word word = Word::kMemory;
  iovec piece{&word, 1};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = space;
  message.msg_controllen = sizeof space;
  cmsghdr* const c = CMSG_FIRSTHDR(&message);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(c), &memory, sizeof memory);
  ssize_t sent = 0;
  do sent = ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  return sent == 1;
}

Heard listen_to(int fd, const std::function<bool(int)>& memory) {
  Heard heard;
  for (;;) {
    char bytes[64];
    iovec piece{bytes, sizeof bytes};
    alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))];
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = space;
    message.msg_controllen = sizeof space;  // the system closes descriptors that do not fit
    const ssize_t got = ::recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return heard;
    if (got <= 0) {
      heard.ended = true;
      return heard;
    }
    const int descriptor = descriptor_in(message);
    const bool announced =
        std::memchr(bytes, static_cast<char>(Word::kMemory), static_cast<size_t>(got)) != nullptr;
    if (descriptor >= 0 && !announced) ::close(descriptor);
    if (announced != (descriptor >= 0) || (announced && !memory(descriptor))) {
      heard.nonsense = true;
      return heard;
    }
    for (ssize_t i = 0; i < got; ++i) {
      const auto word = static_cast<Word>(bytes[i]);
      heard.goodbye |= word == Word::kGoodbye;
      heard.nonsense |= word != Word::kGoodbye && word != Word::kWake && word != Word::kMemory;
    }
  }
}

}  // namespace rhz::shm
