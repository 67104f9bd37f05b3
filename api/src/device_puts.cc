#include "api/src/device_puts.h"

#include <utility>

#include "runtime/base/thread.h"

namespace rhz::api {

void DevicePuts::start() {
  std::lock_guard lock(mutex_);
  if (thread_.joinable() || stop_) return;
  waiting_.reserve(most_);
  thread_ = start_thread("rhz-device", [this] { run(); });
}

void DevicePuts::put(const Put& put) {
  {
    std::lock_guard lock(mutex_);
    waiting_.push_back(put);
  }
  any_.notify_one();
}

Status DevicePuts::failure() {
  std::lock_guard lock(mutex_);
  return failure_;
}

void DevicePuts::run() {
  std::vector<Put> puts;
  puts.reserve(most_);
  std::unique_lock lock(mutex_);
  for (;;) {
    any_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    puts.swap(waiting_);
    lock.unlock();
    for (const Put& put : puts) carry_out(put);
    puts.clear();
    lock.lock();
  }
}

void DevicePuts::carry_out(const Put& put) {
  Status status = device_.put(put.on, put.to, put.from, put.bytes);
  if (status) status = device_.raise(put.on, *put.done);
  if (status) return;
  {
    std::lock_guard lock(mutex_);
    if (failure_) failure_ = status;
  }
  put.done->store(kFailed, std::memory_order_release);
}

void DevicePuts::stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  any_.notify_all();
  if (thread_.joinable()) thread_.join();
}

}  // namespace rhz::api
