// A decision log in memory, for tests and the simulator: it survives a Coordinator, not a process.
#pragma once

#include <memory>

#include "runtime/membership/decision_log.h"

namespace rhz {

// bytes() counts what the entries would take encoded, so that cuts come when they would come with a
// file.
std::unique_ptr<DecisionLog> make_memory_log();

}  // namespace rhz
