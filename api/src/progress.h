// Who runs the loop: the progress thread, or an API thread that waits.  One owner at a time; a thread that waits for a small op
// takes the loop, does the work itself and leaves it behind without waking anybody, so that such an op costs no thread switch.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "runtime/base/types.h"
#include "runtime/loop/loop.h"

namespace rhz {

class Progress {
 public:
  // `turn`: runs what is ready, blocks at most until the given time, and returns early when the loop is woken.  `broken`: called once, as
  // the loop's owner, when a turn or anybody's work has ended by std::bad_alloc; nothing is run behind it.
  Progress(Loop& loop, std::function<void(Time until)> turn, std::function<void()> broken);
  ~Progress();

  void start(std::function<void()> on_thread_start);
  // Ends the thread; afterwards callers own the loop by turns.
  void stop();

  // Runs `work` as the loop's owner.  Throws OutOfMemory from the moment on when it is broken, and so does wait().
  void with(const std::function<void()>& work);
  // Until done() (any thread may call it) or the deadline; true when done.
  bool wait(const std::function<bool()>& done, Time deadline);
  bool is_broken() const { return broken_.load(std::memory_order_acquire); }
  // From the owner: work may come without a call or a wake-up, so the progress thread takes the loop as soon as nobody has it.
  void set_eager(bool eager) { eager_.store(eager, std::memory_order_relaxed); }
  // Any thread: as set_eager(true), now.  A wake-up that is lost costs a nap.
  void hurry();
  // From the owner: something that a waiting thread looks at has changed.
  void notify();
  // How often that was.
  uint64_t notes() const { return notes_.load(std::memory_order_relaxed); }
  // For turn(): somebody else wants the loop.
  bool wanted() const { return wanting_.load(std::memory_order_relaxed) > 0; }

 private:
  class Ownership;
  void acquire(std::unique_lock<std::mutex>& lock);
  void release(Time now);
  template <class Work>
  void step(Work&& work);
  void run();

  Loop& loop_;
  const std::function<void(Time)> turn_;
  const std::function<void()> on_broken_;
  std::function<void()> on_thread_start_;
  std::jthread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;   // ownership, or what waiters look at
  std::condition_variable idle_;      // the progress thread's own naps
  bool owned_ = false, owned_by_thread_ = false;
  std::atomic<uint32_t> wanting_{0};  // threads that want the loop from its owner
  std::atomic<uint32_t> waiting_{0};  // threads that look at changed_
  std::atomic<uint64_t> notes_{0};
  std::atomic<bool> stop_{false}, eager_{false}, broken_{false};
  Time left_{};                       // when an API thread left the loop last
  Time turned_{};                     // end of the newest turn; the owner's
};

}  // namespace rhz
