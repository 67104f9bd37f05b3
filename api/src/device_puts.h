// Copies to a device that are queued when the loop's owner says so, who calls no device: a thread
// of its own does.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/device/device.h"

namespace rhz::api {

class DevicePuts {
 public:
  // In the word of one that the device did not take.
  static constexpr uint32_t kFailed = 2;
  static_assert(kFailed != kRaised);

  struct Put {
    DeviceQueue on;
    std::byte* to = nullptr;
    const std::byte* from = nullptr;
    size_t bytes = 0;
    DeviceWord* done = nullptr;  // raised behind the copy
  };

  // B1: `most` wait at a time.
  DevicePuts(Device& device, size_t most) : device_(device), most_(most) {}
  ~DevicePuts() { stop(); }

  // Before the first put: the thread.
  void start();
  // Any thread.
  void put(const Put& put);
  // The device's words for the first one that it did not take.
  Status failure();
  // What waits is queued before.
  void stop();

 private:
  void run();
  void carry_out(const Put& put);

  Device& device_;
  const size_t most_;
  std::mutex mutex_;
  std::condition_variable any_;
  std::vector<Put> waiting_;
  bool stop_ = false;
  Status failure_;
  std::jthread thread_;
};

}  // namespace rhz::api
