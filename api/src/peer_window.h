// Memory that all ranks of a group registered together, each its own, and mapped from each other
// (rhz_cuda_register).
#pragma once

#include <vector>

#include "collectives/reduce/cuda/peer_allreduce.h"
#include "runtime/agreement/view.h"
#include "runtime/device/peer_access.h"
#include "runtime/device/slabs.h"

namespace rhz::api {

struct PeerWindow {
  struct Part {  // of a rank
    PeerId id;
    std::byte* memory = nullptr;  // as mapped here; of this rank: its own
    std::byte* flags = nullptr;
    SharedAllocation memory_name, flags_name;  // of the others
  };
  // Of which each op takes the next one.  B1: so many ops of a window may be open, then no two that
  // run use one set.
  static constexpr uint32_t kFlagSets = 256;
  static constexpr size_t kFlagSetBytes = sizeof(uint64_t) * RHZ_PEER_RANKS * RHZ_PEER_BLOCKS;
  static constexpr size_t kSlotBytes = size_t{16} * RHZ_PEER_SLOT_LINES;
  // Where what is: in an allocation of its own, which is what is shared.  A set that no op uses,
  // and what the own device alone needs, come behind the sets.
  static constexpr size_t kIdleSetAt = kFlagSets * kFlagSetBytes;
  static constexpr size_t kEndedBlocksAt = kIdleSetAt + kFlagSetBytes;
  static constexpr size_t kSlotsOverAt = kEndedBlocksAt + (kFlagSets + 1) * sizeof(uint64_t);
  static constexpr size_t kSlotsAt = size_t{4} << 20;
  static constexpr size_t kFlagBytes = kSlotsAt + RHZ_PEER_SLOTS * kSlotBytes;
  static_assert(kSlotsOverAt + (RHZ_PEER_SLOTS + 1) * sizeof(uint32_t) <= kSlotsAt);

  GroupId group;
  uint64_t number = 0;  // of its group's
  uint64_t bytes = 0;
  uint64_t ops = 0;  // that began with it
  DeviceQueue queue;
  Slab host;  // for what is reduced again
  std::vector<Part> parts;
  size_t self = 0;

  bool holds(const void* begin, uint64_t size) const {
    const auto* first = static_cast<const std::byte*>(begin);
    const std::byte* own = parts[self].memory;
    return first >= own && size <= bytes &&
           first - own <= static_cast<std::ptrdiff_t>(bytes - size);
  }
  uint64_t offset_of(const void* memory) const {
    return static_cast<uint64_t>(static_cast<const std::byte*>(memory) - parts[self].memory);
  }
  const Part* find(PeerId id) const {
    for (const Part& part : parts)
      if (part.id == id) return &part;
    return nullptr;
  }
};

}  // namespace rhz::api
