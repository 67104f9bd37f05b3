// A collective as data: what one rank does with each chunk.  The executor runs any of them.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/base/types.h"

namespace rhz {

enum class Move : uint8_t {
  kContribute,  // own input → `to`
  kCombine,     // partial of `from`, reduced with own input → `to`
  kFinish,      // partial of `from`, reduced with own input: the final value → `to`
  kSolo,        // own input is the final value
  kPass,        // final value of `from` → `to`; kNoRank: it ends here
  kSend,        // a final value that is held already → `to`
};

struct Step {
  Move move = Move::kSolo;
  Rank from = kNoRank, to = kNoRank;
  friend bool operator==(const Step&, const Step&) = default;
};

// In the order in which they happen; at most one step consumes partials and one final values.
using Program = std::vector<Step>;

// Chunk c runs programs[c % programs.size()].
struct Schedule {
  std::vector<Program> programs;
  const Program& of(uint32_t chunk) const { return programs[chunk % programs.size()]; }
};

}  // namespace rhz
