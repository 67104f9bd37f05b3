#include "api/src/snapshotter.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <utility>

namespace rhz {
namespace {

using Clock = std::chrono::steady_clock;

// While collectives are open, a piece is followed by a pause of at most so many times its own time:
// a snapshot beside a program that communicates without end takes five times as long, and comes to
// its end.
constexpr int kMostYield = 4;
constexpr Duration kLeastYield =
    milliseconds(1);  // a piece may take less than the scheduler's clock shows
constexpr Duration kNap = microseconds(100);

}  // namespace

Status Snapshotter::start(Job job) {
  std::lock_guard lock(mutex_);
  if (stop_) return {Code::kClosed, "the communicator was closed"};
  if (running())
    return {Code::kState, "a snapshot is still being copied: call rhz_snapshot_fence first"};
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  job_ = std::move(job);
  running_.store(true, std::memory_order_release);
  changed_.notify_all();
  return Status::ok();
}

Status Snapshotter::wait(Duration timeout) {
  std::unique_lock lock(mutex_);
  ++waiting_;
  changed_.notify_all();  // the thread, in a nap
  auto over = [&] { return !running(); };
  bool ended = true;
  if (timeout == Duration::zero())
    changed_.wait(lock, over);
  else
    ended = changed_.wait_for(lock, timeout, over);
  --waiting_;
  return ended ? outcome_ : Status(Code::kPending, "the snapshot is still being copied");
}

void Snapshotter::stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Snapshotter::run() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);  // the program's handlers run on its own threads
  ::pthread_setname_np(::pthread_self(), "rhz-snapshot");
  // Woken, it takes the core from nobody: else the program that has just called rhz_snapshot would
  // stand still for a time slice.
  const sched_param none{};
  ::pthread_setschedparam(::pthread_self(), SCHED_BATCH, &none);
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || job_; });
    if (!job_) return;
    const Job job = std::exchange(job_, nullptr);
    lock.unlock();
    piece_began_ = Clock::now();
    Status outcome = job([this] { return next(); });
    lock.lock();
    outcome_ = std::move(outcome);
    running_.store(false, std::memory_order_release);
    changed_.notify_all();
  }
}

bool Snapshotter::next() {
  const auto now = Clock::now();
  const auto took = std::chrono::duration_cast<Duration>(now - piece_began_);
  const auto until = now + std::max(kLeastYield, kMostYield * took);
  std::unique_lock lock(mutex_);
  while (!stop_ && waiting_ == 0 && busy_() && Clock::now() < until) changed_.wait_for(lock, kNap);
  piece_began_ = Clock::now();
  return !stop_;
}

}  // namespace rhz
