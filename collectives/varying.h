// Blocks of different sizes: of the v-variants of collectives, as plain data.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace rhz {

struct Varying {
  // Of each block of the op (agreement/blocks.h), equal on all ranks and part of the signature.  All-to-all: made of what the ranks
  // tell each other first, row by row.
  std::vector<uint64_t> counts;
  // Elements before each block that this rank gives, and gets, in its buffers.
  std::vector<uint64_t> send_at, recv_at;
  uint32_t rank = 0;  // whose part of it these buffers are for

  // All-to-all, until it is known: what this rank gives to each, and expects of each.
  std::vector<uint64_t> give, expect;
  bool is_known() const { return give.empty(); }
};
using VaryingRef = std::shared_ptr<const Varying>;

}  // namespace rhz
