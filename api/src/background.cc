#include "api/src/background.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <utility>

#include "api/src/closed.h"
#include "runtime/base/out_of_memory.h"
#include "runtime/base/thread.h"

namespace rhz {
namespace {

using Clock = std::chrono::steady_clock;

// While collectives are open, a piece is followed by a pause of at most so many times its own time:
// beside a program that communicates without end a job takes five times as long, and comes to its
// end.
constexpr int kMostYield = 4;
constexpr Duration kLeastYield =
    milliseconds(1);  // a piece may take less than the scheduler's clock shows
constexpr Duration kLook = microseconds(100);  // between two looks at whether they still are

const Status kNoMemory(Code::kMemory, "");

}  // namespace

Status Background::start(Job job) {
  std::lock_guard lock(mutex_);
  if (stop_) return closed_status();
  if (running()) return {Code::kState, std::string(doing_) + " already"};
  if (!thread_.joinable()) thread_ = start_thread(thread_name_, [this] { run(); });
  job_ = std::move(job);
  cut_short_ = false;
  running_.store(true, std::memory_order_release);
  changed_.notify_all();
  return Status::ok();
}

Status Background::wait(Duration timeout) {
  std::unique_lock lock(mutex_);
  ++waiting_;
  changed_.notify_all();  // the thread, while it lets others go first
  auto over = [&] { return !running(); };
  bool ended = true;
  if (timeout == Duration::zero())
    changed_.wait(lock, over);
  else
    ended = changed_.wait_for(lock, timeout, over);
  --waiting_;
  return ended ? outcome_ : pending();
}

Status Background::poll() {
  std::lock_guard lock(mutex_);
  return running() ? pending() : outcome_;
}

Status Background::pending() const { return {Code::kPending, doing_}; }

void Background::cut_short() {
  {
    std::lock_guard lock(mutex_);
    cut_short_ = true;
  }
  changed_.notify_all();
}

void Background::stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Background::run() {
  // Woken, it takes the core from nobody: else the program that has just given it a job would stand
  // still for a time slice.
  const sched_param none{};
  ::pthread_setschedparam(::pthread_self(), SCHED_BATCH, &none);
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || job_; });
    if (!job_) return;
    const Job job = std::exchange(job_, nullptr);
    lock.unlock();
    piece_began_ = Clock::now();
    Pace pace(*this);
    Status outcome;
    if (!had_memory([&] { outcome = job(pace); })) outcome = kNoMemory;
    lock.lock();
    outcome_ = std::move(outcome);
    running_.store(false, std::memory_order_release);
    changed_.notify_all();
  }
}

Status Background::next() {
  const auto now = Clock::now();
  const auto took = std::chrono::duration_cast<Duration>(now - piece_began_);
  const auto until = now + std::max(kLeastYield, kMostYield * took);
  std::unique_lock lock(mutex_);
  while (!stop_ && waiting_ == 0 && busy_() && Clock::now() < until) changed_.wait_for(lock, kLook);
  piece_began_ = Clock::now();
  return stop_ ? closed_status() : Status::ok();
}

Status Background::nap(Duration time) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, time, [&] { return stop_ || cut_short_; });
  piece_began_ = Clock::now();
  if (stop_) return closed_status();
  return cut_short_ ? Status(Code::kCancelled, "it was cut short") : Status::ok();
}

}  // namespace rhz
