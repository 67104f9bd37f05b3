#include "api/src/device_watch.h"

#include <algorithm>

#include "runtime/base/thread.h"

namespace rhz::api {

void DeviceWatch::watch(const DeviceQueue& queue) {
  std::lock_guard lock(mutex_);
  const bool known = std::any_of(watched_.begin(), watched_.end(),
                                 [&](const DeviceQueue& q) { return q.context == queue.context; });
  if (known) return;
  watched_.push_back(queue);
  if (!thread_.joinable()) thread_ = start_thread("rhz-health", [this] { run(); });
}

Status DeviceWatch::failure() {
  std::lock_guard lock(mutex_);
  return failure_;
}

void DeviceWatch::run() {
  std::unique_lock lock(mutex_);
  while (!stop_ && !failed()) {
    stopping_.wait_for(lock, kEvery, [&] { return stop_; });
    if (stop_ || !needed_.load(std::memory_order_relaxed)) continue;
    const std::vector<DeviceQueue> all = watched_;
    lock.unlock();
    Status status;
    for (const DeviceQueue& queue : all)
      if (status) status = device_.health(queue);
    lock.lock();
    if (status) continue;
    failure_ = status;
    failed_.store(true, std::memory_order_release);
  }
}

void DeviceWatch::stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopping_.notify_all();
  if (thread_.joinable()) thread_.join();
}

}  // namespace rhz::api
