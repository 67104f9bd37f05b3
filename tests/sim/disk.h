// The disk under the coordinator's log, in the moment in which it dies.
#pragma once

#include <string>
#include <vector>

#include "runtime/agreement/record.h"
#include "runtime/base/prng.h"

namespace rhz::sim {

// What the next coordinator reads when the process ended while it appended `entry`: nothing of it,
// all of it, or a torn tail, as bytes that the real reader of the log has to make sense of.
std::vector<LogEntry> after_crash(const std::string& run_id, const std::vector<LogEntry>& log,
                                  const LogEntry& entry, Prng& dice);

}  // namespace rhz::sim
