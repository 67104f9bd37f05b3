// Inputs whose reduction is known: different for every slot, op and element, and such that sums,
// minima, products and bitwise results are exact in every dtype, in whatever order they are
// computed.
#pragma once

#include <cstdint>
#include <span>

#include "collectives/reduce/dtype.h"

namespace rhz::tools {

// Up to so many contributors the results stay exact.
inline constexpr uint32_t kMostRanks = 32;

class Values {
 public:
  Values(reduce::Dtype dtype, reduce::RedOp redop) : dtype_(dtype), redop_(redop) {}

  // What the peer in `slot` puts into op number `op`; `out`: `count` elements.
  void fill(void* out, uint64_t count, uint32_t slot, uint64_t op) const;
  // How many of elements [first, first + count) of `result` (the op's whole one) are not the
  // reduction over `slots`. Computed in float64 or in 64-bit integers.  Averages of floats may
  // differ by a rounding; all else is compared exactly.
  uint64_t wrong(const void* result, uint64_t first, uint64_t count,
                 std::span<const uint32_t> slots, uint64_t op) const;

 private:
  const reduce::Dtype dtype_;
  const reduce::RedOp redop_;
};

}  // namespace rhz::tools
