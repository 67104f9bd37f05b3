#include "api/src/progress.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "runtime/base/out_of_memory.h"
#include "runtime/base/thread.h"

namespace rhz {
namespace {

// The progress thread takes the loop over when no API thread came back to it for so long.
constexpr Duration kTakeOver = microseconds(250);
// How often it looks while an API thread has the loop.
constexpr Duration kNap = milliseconds(1);
// Of who waits for something that the progress thread, being eager, looks for already: handing the loop over takes longer than a small op
// of a device.
constexpr Duration kBesideThread = microseconds(50);

// Reductions must give the same bits on every rank: the default rounding, denormals not flushed, whatever the program set.
class DefaultFloats {
 public:
#if defined(__x86_64__)
  DefaultFloats() : saved_(_mm_getcsr()) { _mm_setcsr(0x1f80); }
  ~DefaultFloats() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
#endif
};

}  // namespace

Progress::Progress(Loop& loop, std::function<void(Time)> turn, std::function<void()> broken)
    : loop_(loop), turn_(std::move(turn)), on_broken_(std::move(broken)) {}

Progress::~Progress() { stop(); }

void Progress::start(std::function<void()> on_thread_start) {
  on_thread_start_ = std::move(on_thread_start);
  thread_ = start_thread("rhz-progress", [this] { run(); });
}

void Progress::stop() {
  stop_.store(true, std::memory_order_relaxed);
  loop_.wake();
  idle_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Progress::acquire(std::unique_lock<std::mutex>& lock) {
  if (owned_) {
    wanting_.fetch_add(1, std::memory_order_relaxed);
    waiting_.fetch_add(1, std::memory_order_relaxed);
    loop_.wake();
    changed_.wait(lock, [&] { return !owned_; });
    waiting_.fetch_sub(1, std::memory_order_relaxed);
    wanting_.fetch_sub(1, std::memory_order_relaxed);
  }
  owned_ = true;
}

// With mutex_ locked.
void Progress::release(Time now) {
  owned_ = false;
  left_ = now;
  if (waiting_.load(std::memory_order_relaxed) > 0) changed_.notify_all();
  if (eager_.load(std::memory_order_relaxed)) idle_.notify_one();
}

// Of a caller that has mutex_ locked: it is not, between the two.
class Progress::Ownership {
 public:
  Ownership(Progress& progress, std::unique_lock<std::mutex>& lock) : progress_(progress), lock_(lock) {
    progress_.acquire(lock_);
    lock_.unlock();
  }
  ~Ownership() {
    lock_.lock();
    progress_.release(left);
  }
  Ownership(const Ownership&) = delete;
  Ownership& operator=(const Ownership&) = delete;

  Time left{};

 private:
  Progress& progress_;
  std::unique_lock<std::mutex>& lock_;
};

// As the owner.
template <class Work>
void Progress::step(Work&& work) {
  if (is_broken()) out_of_memory();
  if (had_memory(work)) return;
  on_broken_();
  broken_.store(true, std::memory_order_release);
  notify();
  out_of_memory();
}

void Progress::with(const std::function<void()>& work) {
  std::unique_lock lock(mutex_);
  Ownership own(*this, lock);
  DefaultFloats floats;
  step([&] {
    work();
    // A program whose ops are all over when they are submitted (a world of one) never waits, and the progress thread is never
    // left alone with the loop: heartbeats, and what the coordinator says, get their turn here.
    own.left = loop_.now();
    if (own.left - turned_ > kNap) {
      turn_(own.left);
      turned_ = own.left;
    }
  });
}

bool Progress::wait(const std::function<bool()>& done, Time deadline) {
  if (done()) return true;
  if (eager_.load(std::memory_order_relaxed))
    for (const Time until = loop_.now() + kBesideThread; loop_.now() < until;)
      if (done()) return true;
  DefaultFloats floats;
  std::unique_lock lock(mutex_);
  const bool bounded = deadline != kNever;  // looking at the clock takes as long as much of a small op
  while (!done()) {
    if (is_broken()) out_of_memory();
    if (bounded && loop_.now() >= deadline) return false;
    if (owned_ && !owned_by_thread_) {  // another caller does the work for both
      waiting_.fetch_add(1, std::memory_order_acq_rel);  // pairs with notify()
      auto ready = [&] { return !owned_ || done() || is_broken(); };
      if (!bounded) changed_.wait(lock, ready);
      else changed_.wait_for(lock, deadline - loop_.now(), ready);
      waiting_.fetch_sub(1, std::memory_order_relaxed);
      continue;
    }
    {
      Ownership own(*this, lock);
      // Without memory, what is waited for may have ended by that.
      (void)had_memory([&] {
        step([&] {
          while (!done() && !wanted() && (!bounded || loop_.now() < deadline)) turn_(deadline);
        });
      });
      own.left = turned_ = loop_.now();
    }
    if (wanted() && !done()) {  // let who asked have it first
      lock.unlock();
      std::this_thread::yield();
      lock.lock();
    }
  }
  return true;
}

void Progress::hurry() {
  if (!eager_.exchange(true, std::memory_order_relaxed)) idle_.notify_one();
}

void Progress::notify() {
  notes_.fetch_add(1, std::memory_order_relaxed);
  // A read that writes: of this and a waiter's own addition one comes first.  Either the waiter is seen here, or it sees what was
  // written before this call.
  if (waiting_.fetch_add(0, std::memory_order_acq_rel) == 0) return;
  std::lock_guard lock(mutex_);
  changed_.notify_all();
}

void Progress::run() {
  DefaultFloats floats;
  if (on_thread_start_) on_thread_start_();
  std::unique_lock lock(mutex_);
  while (!stop_.load(std::memory_order_relaxed) && !is_broken()) {
    if (owned_ || wanted()) {
      idle_.wait_for(lock, kNap);
      continue;
    }
    if (!eager_.load(std::memory_order_relaxed) && loop_.now() - left_ < kTakeOver) {
      idle_.wait_for(lock, kTakeOver);
      continue;
    }
    owned_ = owned_by_thread_ = true;
    lock.unlock();
    // Without memory: whoever calls next is told.
    (void)had_memory([&] {
      step([&] {
        while (!stop_.load(std::memory_order_relaxed) && !wanted()) turn_(kNever);
      });
    });
    turned_ = loop_.now();
    lock.lock();
    owned_ = owned_by_thread_ = false;
    changed_.notify_all();
  }
}

}  // namespace rhz
