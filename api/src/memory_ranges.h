// A few pieces of memory that only become more, to be looked through by any thread without a lock.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace rhz::api {

class MemoryRanges {
 public:
  static constexpr size_t kMost = 16;  // B1: what comes after these is not noted

  // One thread at a time.
  void add(const void* begin, size_t bytes) {
    const size_t at = count_.load(std::memory_order_relaxed);
    if (at == kMost) return;
    ranges_[at] = {reinterpret_cast<uintptr_t>(begin), bytes};
    count_.store(at + 1, std::memory_order_release);
  }
  bool holds(const void* memory) const {
    const size_t count = count_.load(std::memory_order_acquire);
    for (size_t i = 0; i < count; ++i)
      if (reinterpret_cast<uintptr_t>(memory) - ranges_[i].begin < ranges_[i].bytes) return true;
    return false;
  }

 private:
  struct Range {
    uintptr_t begin = 0;
    size_t bytes = 0;
  };
  std::array<Range, kMost> ranges_{};
  std::atomic<size_t> count_{0};
};

}  // namespace rhz::api
