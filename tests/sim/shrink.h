// Makes a failing seed smaller while it fails in the same way: fewer kinds of faults, fewer single
// faults, fewer processes and ops.
#pragma once

#include "tests/sim/config.h"

namespace rhz::sim {

// Prints what is left.  False: the configuration does not fail.
bool shrink(Config config);

}  // namespace rhz::sim
