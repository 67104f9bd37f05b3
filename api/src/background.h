// A thread that does something long while the program goes on: copies a snapshot, writes a
// checkpoint.  It lets collectives go first, within a bound, and hurries when somebody waits for
// it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "runtime/base/status.h"
#include "runtime/base/types.h"

namespace rhz {

class Background {
 public:
  // `thread`: its name, of at most 15 bytes.  `doing`: what is going on then, for texts.  `busy`:
  // whether collectives are open now; from any thread.
  Background(const char* thread, const char* doing, std::function<bool()> busy)
      : thread_name_(thread), doing_(doing), busy_(std::move(busy)) {}
  ~Background() { stop(); }

  // How a job goes on, piece by piece; an error of either call is its end.
  class Pace {
   public:
    // Before each piece.  kClosed.
    [[nodiscard]] Status next() { return thread_.next(); }
    // Waits so long for something outside.  kClosed; kCancelled: cut_short() was called.
    [[nodiscard]] Status nap(Duration time) { return thread_.nap(time); }

   private:
    friend class Background;
    explicit Pace(Background& thread) : thread_(thread) {}
    Background& thread_;
  };
  using Job = std::function<Status(Pace& pace)>;
  // kState: one is running.  kClosed: after stop().
  Status start(Job job);
  bool running() const { return running_.load(std::memory_order_acquire); }
  // Waits until none is running; the outcome of the newest one.  kPending: the time was over.  0:
  // for ever.
  Status wait(Duration timeout);
  // As wait(), without waiting.
  Status poll();
  // The job's nap, or its next one.
  void cut_short();
  void stop();

 private:
  void run();
  Status next();
  Status nap(Duration time);
  Status pending() const;

  const char* const thread_name_;
  const char* const doing_;
  const std::function<bool()> busy_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Job job_;                 // under mutex_
  Status outcome_;          // under mutex_
  bool stop_ = false;       // under mutex_
  bool cut_short_ = false;  // under mutex_
  int waiting_ = 0;         // under mutex_
  std::atomic<bool> running_{false};
  std::chrono::steady_clock::time_point piece_began_{};  // the thread's own
  std::jthread thread_;
};

}  // namespace rhz
