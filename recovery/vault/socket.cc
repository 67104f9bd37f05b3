#include "recovery/vault/socket.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <system_error>

#include "recovery/vault/messages.h"
#include "runtime/wire/frame.h"

namespace rhz::recovery {
namespace {

constexpr int kListenBacklog = 512;  // all trainers of a host may connect at once

struct Address {
  sockaddr_un name{};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&name); }
};

// An abstract name begins with a zero byte.
Result<Address> address_of(const std::string& name) {
  Address address;
  if (name.empty() || name.size() + 1 > sizeof address.name.sun_path)
    return Status(Code::kArgument, "\"" + name + "\" is no name of a vault");
  address.name.sun_family = AF_UNIX;
  std::memcpy(address.name.sun_path + 1, name.data(), name.size());
  address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return address;
}

Status failed(const std::string& what) {
  return {Code::kIo, what + ": " + std::generic_category().message(errno)};
}

// All descriptors of a message; those that do not fit the system has closed.
void take_fds(const msghdr& message, std::vector<Fd>& fds) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(const_cast<msghdr*>(&message), c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
}

}  // namespace

std::string vault_name(std::string_view run_id, std::string_view host) {
  char name[80];
  const int length =
      std::snprintf(name, sizeof name, "rhizome-vault-%u-%016llx", static_cast<unsigned>(geteuid()),
                    static_cast<unsigned long long>(wire::run_hash(run_id)));
  if (!host.empty())
    std::snprintf(name + length, sizeof name - static_cast<size_t>(length), "-%016llx",
                  static_cast<unsigned long long>(wire::run_hash(host)));
  return name;
}

Result<Fd> listen_as_vault(const std::string& name) {
  const auto address = address_of(name);
  if (!address) return address.status();
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return failed("no socket for the vault");
  if (::bind(socket.get(), address.value().get(), address.value().length) != 0) {
    if (errno != EADDRINUSE) return failed("cannot listen as vault");
    return Status(Code::kAddressInUse, "this run has a vault on this host already (" + name + ")");
  }
  if (::listen(socket.get(), kListenBacklog) != 0) return failed("cannot listen as vault");
  return socket;
}

Result<Fd> connect_to_vault(const std::string& name, Duration patience) {
  const auto address = address_of(name);
  if (!address) return address.status();
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return failed("no socket for the vault");
  const auto us = std::chrono::duration_cast<microseconds>(patience).count();
  const timeval limit{static_cast<time_t>(us / 1'000'000),
                      static_cast<suseconds_t>(us % 1'000'000)};
  (void)setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  (void)setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (::connect(socket.get(), address.value().get(), address.value().length) != 0) {
    return Status(Code::kUnreachable,
                  "no vault answers at " + name + ": " + std::generic_category().message(errno));
  }
  if (!other_end(socket).same_user)
    return Status(Code::kUnreachable, "whoever listens at " + name + " belongs to another user");
  return socket;
}

Other other_end(const Fd& socket) {
  ucred found{};
  socklen_t length = sizeof found;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &found, &length) != 0) return {};
  return {found.uid == geteuid(), static_cast<uint32_t>(found.pid)};
}

Status send_packet(const Fd& socket, ConstBytes bytes, std::span<const Fd> fds) {
  iovec piece{const_cast<std::byte*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int) * kMaxDescriptors)] = {};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = space;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* const c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    for (size_t i = 0; i < fds.size(); ++i) {
      const int fd = fds[i].get();
      std::memcpy(CMSG_DATA(c) + i * sizeof fd, &fd, sizeof fd);
    }
  }
  ssize_t sent = 0;
  do sent = ::sendmsg(socket.get(), &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent == static_cast<ssize_t>(bytes.size())) return Status::ok();
  if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return {Code::kPending, "not in time"};
  if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
    return {Code::kClosed, "the other side is gone"};
  return failed("cannot send on the vault's socket");
}

Result<Packet> receive_packet(const Fd& socket) {
  Packet packet;
  packet.bytes.resize(kVaultMessageBytes + kMaxVaultText);
  iovec piece{packet.bytes.data(), packet.bytes.size()};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int) * kMaxDescriptors)];
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = space;
  message.msg_controllen = sizeof space;
  ssize_t got = 0;
  do got = ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
    return Status(Code::kPending, "not in time");
  if (got < 0 && errno != ECONNRESET) return failed("cannot receive on the vault's socket");
  if (got <= 0) return Status(Code::kClosed, "the other side is gone");
  take_fds(message, packet.fds);
  if (message.msg_flags & MSG_TRUNC) return Status(Code::kArgument, "a message is too long");
  if (message.msg_flags & MSG_CTRUNC)
    return Status(Code::kMemory, "there are not enough descriptors left");
  packet.bytes.resize(static_cast<size_t>(got));
  return packet;
}

}  // namespace rhz::recovery
