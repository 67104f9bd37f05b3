#include "tests/integration/raw_socket.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>

#include "runtime/wire/codec.h"
#include "tests/integration/patience.h"

namespace rhz::test {
namespace {

constexpr time_t kPatienceSeconds = kPatienceMs / 1000;
constexpr size_t kVersionAt = 4;  // docs/wire.md

sockaddr_in parse(const std::string& address) {
  const size_t colon = address.rfind(':');
  sockaddr_in out{};
  out.sin_family = AF_INET;
  EXPECT_EQ(inet_pton(AF_INET, address.substr(0, colon).c_str(), &out.sin_addr), 1) << address;
  out.sin_port = htons(static_cast<uint16_t>(std::stoul(address.substr(colon + 1))));
  return out;
}

}  // namespace

RawSocket::RawSocket(const std::string& address)
    : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const sockaddr_in to = parse(address);
  EXPECT_EQ(connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0) << address;
}

RawSocket::~RawSocket() {
  if (fd_ >= 0) close(fd_);
}

void RawSocket::write(const std::string& bytes) {
  (void)!send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool RawSocket::write_all(const std::string& bytes) {
  const timeval patience{kPatienceSeconds, 0};
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t sent = send(fd_, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    EXPECT_FALSE(sent < 0 && errno == EAGAIN) << "the far side neither reads nor closes";
    if (sent <= 0) return false;
    done += static_cast<size_t>(sent);
  }
  return true;
}

std::string RawSocket::read(size_t bytes) {
  const timeval patience{kPatienceSeconds, 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  std::string all;
  while (all.size() < bytes) {
    char some[4096];
    const ssize_t got = recv(fd_, some, std::min(sizeof some, bytes - all.size()), 0);
    EXPECT_FALSE(got < 0 && errno == EAGAIN) << "the far side neither answers nor closes";
    if (got <= 0) break;
    all.append(some, static_cast<size_t>(got));
  }
  return all;
}

std::string RawSocket::read_all() { return read(SIZE_MAX); }

RawListener::RawListener() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address = parse("127.0.0.1:0");
  EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(listen(fd_, 4), 0);
  socklen_t size = sizeof address;
  getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
  address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
}

RawListener::~RawListener() { close(fd_); }

RawSocket RawListener::accept() {
  const timeval patience{kPatienceSeconds, 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
  EXPECT_GE(fd, 0) << "nobody calls";
  return RawSocket(fd);
}

std::string raw_header(wire::Kind kind, uint32_t length, uint8_t version) {
  wire::FrameHeader header;
  header.kind = kind;
  header.length = length;
  header.run = wire::run_hash("default");
  std::string bytes(wire::kHeaderBytes, '\0');
  wire::encode_header(header, reinterpret_cast<std::byte*>(bytes.data()));
  // Looked at before the CRC, which another version may compute in another way.
  bytes[kVersionAt] = static_cast<char>(version);
  return bytes;
}

std::string status_question() {
  const auto payload = wire::encode(ControlMessage(StatusRequest{}));
  return raw_header(wire::Kind::kControl, static_cast<uint32_t>(payload.size()),
                    wire::kProtocolVersion) +
         std::string(reinterpret_cast<const char*>(payload.data()), payload.size());
}

std::vector<std::string> data_ports(const std::string& coordinator) {
  RawSocket session(coordinator);
  session.write(status_question());
  const std::string head = session.read(wire::kHeaderBytes);
  const auto header = wire::decode_header(reinterpret_cast<const std::byte*>(head.data()));
  EXPECT_TRUE(header);
  if (!header) return {};
  const std::string body = session.read(header.value().length);
  const auto message =
      wire::decode_message({reinterpret_cast<const std::byte*>(body.data()), body.size()});
  EXPECT_TRUE(message && std::holds_alternative<StatusReply>(message.value()));
  std::vector<std::string> ports;
  for (const PeerStatus& peer : std::get<StatusReply>(message.value()).peers)
    ports.push_back(peer.info.endpoints.front());
  return ports;
}

}  // namespace rhz::test
