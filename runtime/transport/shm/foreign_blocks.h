// Blocks of a peer's shared memory (runtime/memory/shared_memory.h), mapped here to be read.  They
// are numbered from 1 in the order in which they come.  Owner: InLane.
#pragma once

#include <vector>

#include "runtime/memory/shared_memory.h"

namespace rhz::shm {

class ForeignBlocks {
 public:
  // B1: of one connection.
  static constexpr size_t kMost = SharedMemory::kMaxBlocks;

  size_t count() const { return blocks_.size(); }
  // Takes the descriptor.  False: it is no such block.
  [[nodiscard]] bool add(int fd) {
    auto region = SharedRegion::map_to_read(fd);
    if (!region || region.value().size() <= SharedMemory::kControlBytes || count() >= kMost)
      return false;
    blocks_.push_back(std::move(region).value());
    return control(blocks_.back()).magic == SharedMemory::kMagic;
  }
  // Null: no bytes of such a block.
  const std::byte* find(uint64_t number, uint64_t offset, uint64_t size) const {
    if (number == 0 || number > count()) return nullptr;
    const SharedRegion& block = blocks_[number - 1];
    if (!block || offset > block.size() || size > block.size() - offset) return nullptr;
    return block.data() + offset;
  }
  void clear() { blocks_.clear(); }
  // What the peer's program has given back is only held by being mapped here.  Not while a payload
  // is being copied from one.
  void let_go_of_freed() {
    for (SharedRegion& block : blocks_)
      if (block && control(block).freed.load(std::memory_order_acquire) != 0) block.reset();
  }

 private:
  static const SharedMemory::Control& control(const SharedRegion& block) {
    return *reinterpret_cast<const SharedMemory::Control*>(block.data());
  }
  std::vector<SharedRegion> blocks_;
};

}  // namespace rhz::shm
