// A counted block of host memory from a pool.  Progress thread only: the count is not atomic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace rhz {

class BufferPool;

class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer& other) : block_(other.block_) { retain(); }
  Buffer(Buffer&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  Buffer& operator=(Buffer other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~Buffer() { reset(); }

  explicit operator bool() const { return block_ != nullptr; }
  std::byte* data() const { return block_ ? block_->data : nullptr; }
  size_t capacity() const { return block_ ? block_->capacity : 0; }
  bool shared() const { return block_ && block_->references > 1; }
  void reset();

 private:
  friend class BufferPool;
  struct Block {
    std::byte* data = nullptr;
    size_t capacity = 0;
    uint32_t references = 0;
    uint32_t size_class = 0;
    BufferPool* pool = nullptr;
    Block* next = nullptr;  // in the pool
  };
  explicit Buffer(Block* block) : block_(block) { retain(); }
  void retain() {
    if (block_) ++block_->references;
  }

  Block* block_ = nullptr;
};

}  // namespace rhz
