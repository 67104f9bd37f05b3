// Blocks of powers of two, kept for reuse, so that no op allocates once the communicator is warm.  64-byte aligned.
// Owned by one communicator; outlives every Buffer taken from it.  Progress thread only.
#pragma once

#include <array>
#include <cstddef>

#include "runtime/memory/buffer.h"

namespace rhz {

class BufferPool {
 public:
  // Idle memory beyond keep_bytes is given back to the system.  The default holds what an op of 64 MiB needs, strict and in place: with 32 MiB
  // each such op got half of it anew, page by page.
  explicit BufferPool(size_t keep_bytes = size_t{96} << 20) : keep_bytes_(keep_bytes) {}
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // At least `bytes` bytes, or an empty Buffer when the system has none.
  [[nodiscard]] Buffer take(size_t bytes);
  // Where there is no way back: std::bad_alloc when the system has none.
  [[nodiscard]] Buffer must_take(size_t bytes);
  size_t in_use_bytes() const { return in_use_bytes_; }
  size_t idle_bytes() const { return idle_bytes_; }
  size_t peak_bytes() const { return peak_bytes_; }

 private:
  friend class Buffer;
  static constexpr uint32_t kClasses = 44;  // up to 2^43 bytes
  void give_back(Buffer::Block* block) noexcept;

  const size_t keep_bytes_;
  size_t in_use_bytes_ = 0, idle_bytes_ = 0, peak_bytes_ = 0;
  std::array<Buffer::Block*, kClasses> idle_{};  // the first of each list
};

}  // namespace rhz
