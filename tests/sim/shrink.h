// Makes a failing seed smaller while it fails in the same way: fewer kinds of faults, fewer single
// faults, fewer processes and ops, fewer kinds of these.
#pragma once

#include <optional>

#include "tests/sim/config.h"

namespace rhz::sim {

// Prints what is left, and returns it.  None: the configuration does not fail.
std::optional<Config> shrink(Config config);

}  // namespace rhz::sim
