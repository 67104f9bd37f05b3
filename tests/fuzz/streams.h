// Streams of frames made of a tape, good ones and others, and a socket pair to send them through in pieces.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "runtime/loop/asio_loop.h"
#include "runtime/wire/frame.h"
#include "tests/fuzz/fuzz.h"

namespace rhz::fuzz {

inline constexpr uint64_t kRun = 77;
inline constexpr size_t kMostStreamBytes = 48u << 10;  // a socket takes as much without a reader

inline void append(Bytes& stream, const wire::FrameHeader& header) {
  wire::HeaderBytes bytes{};
  wire::encode_header(header, bytes.data());
  stream.insert(stream.end(), bytes.begin(), bytes.end());
}

// What goes behind a header need not come from the tape.
inline void append_payload(Bytes& stream, size_t bytes, uint64_t number) {
  for (size_t i = 0; i < bytes && stream.size() < kMostStreamBytes; ++i) stream.push_back(std::byte(i + 31 * number));
}

// Two ends of a connection; the far one is the test's.
struct Wire {
  Wire() {
    int fds[2];
    RHZ_FUZZ_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    near = fds[0], far = fds[1];
  }
  ~Wire() { ::close(far); }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;
  // False: the near end has gone.
  bool write(ConstBytes bytes) const {
    const ssize_t sent = ::send(far, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent == static_cast<ssize_t>(bytes.size());
  }
  int near = -1;  // given away
  int far = -1;
};

// Everything that the far side has been told.
inline std::string read_all(int fd) {
  std::string all;
  char bytes[4096];
  for (ssize_t got; (got = ::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0;) all.append(bytes, static_cast<size_t>(got));
  return all;
}

}  // namespace rhz::fuzz
