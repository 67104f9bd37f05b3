// How a split is agreed upon: an all-reduce of a table with a row per slot, into which every rank
// puts its choice.  As whoever dies meanwhile is in all rows or in none, the sum is the membership
// too.  Pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/base/status.h"
#include "runtime/base/types.h"

namespace rhz {

// What a rank wants.
struct SplitChoice {
  bool none = false;    // no communicator
  uint32_t colour = 0;  // those who name the same one get a communicator
  int32_t key = 0;      // their order in it; of equals, that in the parent
};

// u64: of `slots` rows, zero but for the own one.  `room`: this rank can have one more.
std::vector<uint64_t> split_table(uint32_t slots, Slot self, PeerId id, const SplitChoice& choice,
                                  bool room);

// The members of the own communicator, by rank; empty if none is wanted.  kState, on every rank
// alike: somebody has no room. `order`: the members of the parent by rank; empty: by slot.
[[nodiscard]] Result<std::vector<PeerId>> split_members(const std::vector<uint64_t>& table,
                                                        const SplitChoice& choice,
                                                        const std::vector<PeerId>& order);

}  // namespace rhz
