// The invariants of docs/protocol.md that concern several processes, in one state.
#pragma once

#include <string>

#include "tests/explore/run.h"

namespace rhz::explore {

// Empty: all is well.
std::string violation_in(const Options& options, const Run& run, const State& state);
// Who returned what: per op and peer the contributors of each chunk.
std::string outcome_of(const Options& options, const Run& run, const State& state);

}  // namespace rhz::explore
