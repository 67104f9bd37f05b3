#include "runtime/loop/asio_loop.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <asio/error_code.hpp>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <vector>

#include "runtime/base/assert.h"
#include "runtime/base/fd.h"
#include "runtime/loop/room.h"

namespace rhz {
namespace {

// Before the owner gets to look at the rest of the world: handlers may make each other ready for
// ever, as those do that read from somebody who sends faster.
constexpr size_t kHandlersAtATime = 256;

// Asio's epoll, timer and interrupter, and the wake event.
constexpr size_t kFilesOfALoop = 4;

}  // namespace

Status room_for_loops(size_t loops) {
  std::vector<Fd> all;
  for (size_t i = 0; i < loops * kFilesOfALoop; ++i) {
    all.emplace_back(eventfd(0, EFD_CLOEXEC));
    if (!all.back().valid()) return {Code::kIo, std::generic_category().message(errno) + ": raise the limit of open files (ulimit -n)"};
  }
  return Status::ok();
}

// One thread runs the context at a time (hint 1): Asio then leaves out its wake-ups between
// threads.
AsioLoop::AsioLoop() : context_(1), wake_event_(context_) {
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  RHZ_ASSERT("eventfd", fd >= 0);
  asio::error_code error;
  wake_event_.assign(fd, error);
  RHZ_ASSERT("eventfd", !error);
  wait_for_wake();
}

AsioLoop::~AsioLoop() = default;

Time AsioLoop::now() const { return std::chrono::steady_clock::now().time_since_epoch(); }

bool AsioLoop::poll() {
  context_.restart();
  size_t ran = 0;
  while (ran < kHandlersAtATime && context_.poll_one() > 0) ++ran;
  return ran > 0;
}

void AsioLoop::run_until(Time deadline) {
  context_.restart();
  if (deadline == kNever) {
    context_.run_one();
  } else if (const Time left = deadline - now(); left > Time::zero()) {
    context_.run_one_for(left);
  }
  (void)poll();
}

void AsioLoop::wake() {
  const uint64_t one = 1;
  // Full (EAGAIN) means that a wake is pending already.
  [[maybe_unused]] const ssize_t written = ::write(wake_event_.native_handle(), &one, sizeof one);
}

void AsioLoop::wait_for_wake() {
  wake_event_.async_wait(asio::posix::stream_descriptor::wait_read, [this](asio::error_code error) {
    if (error) return;
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = ::read(wake_event_.native_handle(), &count, sizeof count);
    wait_for_wake();
  });
}

}  // namespace rhz
