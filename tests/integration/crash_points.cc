#include "tests/integration/crash_points.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

namespace rhz::test {
namespace {

enum class How : uint8_t { kBefore, kHalf, kAfter };

std::atomic<uint64_t> calls_left{0};  // 0: nothing is armed
std::atomic<How> armed_how{How::kBefore};

[[noreturn]] void die() {
  (void)kill(getpid(), SIGKILL);
  for (;;) (void)pause();
}

// Around one call.
class Point {
 public:
  Point() {
    uint64_t left = calls_left.load(std::memory_order_relaxed);
    while (left > 0 && !calls_left.compare_exchange_weak(left, left - 1)) {
    }
    strikes_ = left == 1;
    if (strikes_ && armed_how == How::kBefore) die();
  }
  ~Point() {
    if (strikes_) die();
  }
  bool halves() const { return strikes_ && armed_how == How::kHalf; }

 private:
  bool strikes_ = false;
};

// The first half of its bytes, none of its descriptors.
ssize_t send_half(int fd, const msghdr& whole, int flags) {
  size_t bytes = 0;
  for (size_t i = 0; i < whole.msg_iovlen; ++i) bytes += whole.msg_iov[i].iov_len;
  bytes /= 2;
  for (size_t i = 0; i < whole.msg_iovlen && bytes > 0; ++i) {
    const size_t part = std::min(bytes, whole.msg_iov[i].iov_len);
    (void)syscall(SYS_sendto, fd, whole.msg_iov[i].iov_base, part, flags, nullptr, 0);
    bytes -= part;
  }
  return 0;
}

}  // namespace

void arm_crash(uint64_t nth, const std::string& how) {
  armed_how = how == "before" ? How::kBefore : how == "half" ? How::kHalf : How::kAfter;
  calls_left = nth;
}
void disarm_crash() { calls_left = 0; }

}  // namespace rhz::test

using rhz::test::Point;

// A sanitizer has its own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern "C" {

ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  const Point point;
  if (point.halves()) return rhz::test::send_half(fd, *message, flags);
  return syscall(SYS_sendmsg, fd, message, flags);
}
ssize_t send(int fd, const void* bytes, size_t count, int flags) {
  const Point point;
  return syscall(SYS_sendto, fd, bytes, point.halves() ? count / 2 : count, flags, nullptr, 0);
}
ssize_t recvmsg(int fd, msghdr* message, int flags) {
  const Point point;
  return syscall(SYS_recvmsg, fd, message, flags);
}
ssize_t recv(int fd, void* bytes, size_t count, int flags) {
  const Point point;
  return syscall(SYS_recvfrom, fd, bytes, count, flags, nullptr, nullptr);
}
ssize_t process_vm_readv(pid_t pid, const iovec* to, unsigned long tos, const iovec* from,
                         unsigned long froms, unsigned long flags) {
  const Point point;
  return syscall(SYS_process_vm_readv, pid, to, tos, from, froms, flags);
}
}
#endif
