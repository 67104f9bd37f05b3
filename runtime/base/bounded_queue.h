// A queue with a bound, between API threads and the progress thread (B1).  Any thread.
#pragma once

#include <cstddef>
#include <deque>
#include <mutex>
#include <utility>

namespace rhz {

template <class T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t bound) : bound_(bound) {}

  // False when the queue is full; the item is then untouched.
  [[nodiscard]] bool push(T& item) {
    std::lock_guard lock(mutex_);
    if (items_.size() >= bound_) return false;
    items_.push_back(std::move(item));
    return true;
  }

  [[nodiscard]] bool pop(T& out) {
    std::lock_guard lock(mutex_);
    if (items_.empty()) return false;
    out = std::move(items_.front());
    items_.pop_front();
    return true;
  }

 private:
  const size_t bound_;
  std::mutex mutex_;
  std::deque<T> items_;
};

}  // namespace rhz
