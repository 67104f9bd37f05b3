#include "runtime/memory/pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <new>

#include "runtime/base/assert.h"
#include "runtime/base/out_of_memory.h"

namespace rhz {
namespace {

// From here on malloc would map every block by itself as well, with a page more for its own
// header: 1.6 % of a 256 KiB chunk.
constexpr size_t kMappedBytes = 128u << 10;

std::byte* get_memory(size_t capacity) {
  if (capacity < kMappedBytes) return static_cast<std::byte*>(std::aligned_alloc(64, capacity));
  void* data = mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return data == MAP_FAILED ? nullptr : static_cast<std::byte*>(data);
}

void free_memory(std::byte* data, size_t capacity) {
  if (capacity < kMappedBytes)
    std::free(data);
  else
    munmap(data, capacity);
}

}  // namespace

void Buffer::reset() {
  Block* block = std::exchange(block_, nullptr);
  if (block && --block->references == 0) block->pool->give_back(block);
}

BufferPool::~BufferPool() {
  RHZ_ASSERT("buffers outlive their pool", in_use_bytes_ == 0);
  for (Buffer::Block* first : idle_) {
    while (Buffer::Block* block = first) {
      first = block->next;
      free_memory(block->data, block->capacity);
      delete block;
    }
  }
}

Buffer BufferPool::take(size_t bytes) {
  const size_t capacity = std::bit_ceil(std::max<size_t>(bytes, 64));
  const auto size_class = static_cast<uint32_t>(std::countr_zero(capacity));
  RHZ_ASSERT("B1", size_class < kClasses);
  Buffer::Block* block = nullptr;
  if (auto& idle = idle_[size_class]) {
    block = std::exchange(idle, idle->next);
    idle_bytes_ -= capacity;
  } else {
    std::byte* data = get_memory(capacity);
    if (!data) return {};
    block = new (std::nothrow) Buffer::Block{data, capacity, 0, size_class, this, nullptr};
    if (!block) {
      free_memory(data, capacity);
      return {};
    }
  }
  in_use_bytes_ += capacity;
  peak_bytes_ = std::max(peak_bytes_, in_use_bytes_ + idle_bytes_);
  return Buffer(block);
}

Buffer BufferPool::must_take(size_t bytes) {
  Buffer buffer = take(bytes);
  if (!buffer) out_of_memory();
  return buffer;
}

void BufferPool::give_back(Buffer::Block* block) noexcept {
  in_use_bytes_ -= block->capacity;
  if (idle_bytes_ + block->capacity > keep_bytes_) {
    free_memory(block->data, block->capacity);
    delete block;
    return;
  }
  idle_bytes_ += block->capacity;
  block->next = std::exchange(idle_[block->size_class], block);
}

}  // namespace rhz
