// Memory of the program that peers of this host can map: what rhz_alloc gives out.  Each block is a
// memfd of its own, [ control page | the caller's bytes ].  Owned by one communicator, which tells
// its transport about it; used by the loop's owner only.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>

#include "runtime/memory/shared_region.h"

namespace rhz {

class SharedMemory {
 public:
  // Where the caller's bytes begin.
  static constexpr size_t kControlBytes = 4096;
  static constexpr size_t kMaxBlocks = 1024;  // B1: each holds a descriptor of the process
  struct Control {
    uint64_t magic = 0;
    std::atomic<uint32_t> freed;  // who has it mapped lets go
  };
  static constexpr uint64_t kMagic = 0x316d656d2d7a6872;  // "rhz-mem1"

  struct Block {
    uint64_t id = 0;  // never reused
    SharedRegion region;
    std::byte* begin() const { return region.data() + kControlBytes; }
    size_t size() const { return region.size() - kControlBytes; }
  };

  ~SharedMemory();

  // Page aligned, zeroed.  kArgument: no bytes.  kMemory: the system has none, or there are too
  // many.
  [[nodiscard]] Result<std::byte*> allocate(size_t bytes);
  // A block that a process which is gone had allocated; takes the descriptor.  It is given out as if it had been allocated here.
  // kCorrupt: it is none.
  [[nodiscard]] Result<std::byte*> adopt(int fd);
  // What no op uses any more.  False: allocate() did not give it out.
  [[nodiscard]] bool free(std::byte* begin);
  // The block that holds all of these bytes, or null.
  const Block* find(const std::byte* begin, size_t size) const;

 private:
  std::byte* add(SharedRegion region);

  std::map<const std::byte*, Block> blocks_;  // by begin()
  uint64_t next_id_ = 1;
};

}  // namespace rhz
