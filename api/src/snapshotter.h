// The thread that copies a snapshot while the program goes on.  It lets collectives go first,
// within a bound, and hurries when somebody waits for it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "runtime/base/status.h"
#include "runtime/base/types.h"

namespace rhz {

class Snapshotter {
 public:
  // `busy`: whether collectives are open now; from any thread.
  explicit Snapshotter(std::function<bool()> busy) : busy_(std::move(busy)) {}
  ~Snapshotter() { stop(); }

  // What a snapshot does: calls `next` before each piece, and ends when that is false.
  using Job = std::function<Status(const std::function<bool()>& next)>;
  // kState: one is running.  kClosed: after stop().
  Status start(Job job);
  bool running() const { return running_.load(std::memory_order_acquire); }
  // Waits until none is running; the outcome of the newest one.  kPending: the time was over.
  Status wait(Duration timeout);
  void stop();

 private:
  void run();
  bool next();

  const std::function<bool()> busy_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Job job_;            // under mutex_
  Status outcome_;     // under mutex_
  bool stop_ = false;  // under mutex_
  int waiting_ = 0;    // under mutex_
  std::atomic<bool> running_{false};
  std::chrono::steady_clock::time_point piece_began_{};  // the thread's own
  std::thread thread_;
};

}  // namespace rhz
