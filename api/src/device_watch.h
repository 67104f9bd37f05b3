// Asks devices now and then whether they still work, while ops wait for them: a device that failed
// raises no word.  A thread of its own, because the answer may take as long as another call of the
// program's.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/device/device.h"

namespace rhz::api {

class DeviceWatch {
 public:
  static constexpr std::chrono::milliseconds kEvery{100};

  explicit DeviceWatch(Device& device) : device_(device) {}
  ~DeviceWatch() { stop(); }

  // Begins to watch its context; the thread begins with the first one.
  void watch(const DeviceQueue& queue);
  // By the loop's owner: whether anything waits.
  void set_needed(bool needed) { needed_.store(needed, std::memory_order_relaxed); }
  bool failed() const { return failed_.load(std::memory_order_acquire); }
  Status failure();  // once failed()
  void stop();

 private:
  void run();

  Device& device_;
  std::atomic<bool> needed_{false}, failed_{false};
  std::mutex mutex_;
  std::condition_variable stopping_;
  bool stop_ = false;
  Status failure_;
  std::vector<DeviceQueue> watched_;  // one of each context
  std::jthread thread_;
};

}  // namespace rhz::api
