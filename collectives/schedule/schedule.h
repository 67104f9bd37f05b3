// A collective as data: what one rank does with each chunk, step by step.  The executor runs any of
// them, segment by segment.
//
//   ring, in the middle     Fold(previous) Own Partial(next) Receive(previous) Send(next)
//   direct exchange         Share(b) Share(c) Own Fold(b) Fold(c) Final
//   a kept value goes on    Receive(previous) Send(next)
//
// Every rank folds in the order of its steps, and two operands give the same bits either way round.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/base/types.h"

namespace rhz {

enum class Move : uint8_t {
  kShare,    // own input → `peer`, which has it before the final value is made here, or not: sent
             // from a copy
  kOwn,      // own input joins the value
  kFold,     // the partial of `peer` joins the value
  kPartial,  // the value so far → `peer`.  An own input that goes so has arrived before the final
             // value comes back
  kFinal,    // the value is the final one
  kReceive,  // the final value comes from `peer`
  kSend,     // the final value → `peer`
  kTell,     // word that the chunk has come to its end → `peer`; no bytes
  kHear,     // word of that comes from `peer`
};

struct Step {
  Move move = Move::kOwn;
  Rank peer = kNoRank;
  friend bool operator==(const Step&, const Step&) = default;
};

// At most one kFinal or kReceive.  A program that begins with kSend has the final value already.
using Program = std::vector<Step>;

// Chunk c runs programs[c % programs.size()].
struct Schedule {
  std::vector<Program> programs;
  const Program& of(uint32_t chunk) const { return programs[chunk % programs.size()]; }
};

constexpr bool waits(Move move) {
  return move == Move::kFold || move == Move::kReceive || move == Move::kHear;
}

// Whether a chunk's way begins here: something is sent of it before anything is waited for.
inline bool originates(const Program& program) {
  for (const Step& step : program) {
    if (waits(step.move)) return false;
    if (step.move == Move::kShare || step.move == Move::kPartial) return true;
  }
  return false;
}

}  // namespace rhz
