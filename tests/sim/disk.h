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

// The same when the append itself failed: what reached the disk is there for whoever opens it next.  `full`: there was no room for all
// of it.
std::vector<LogEntry> after_failure(const std::string& run_id, const std::vector<LogEntry>& log,
                                    const LogEntry& entry, bool full, Prng& dice);

// One bit is another one when the log is read.  True: the reader refuses it, and says why.  False: it cannot tell this from the torn
// tail that a crash leaves, and takes all entries but the last, whose damage log_format.h does not promise to see.  Anything else is
// asserted not to be.
bool refuses_a_flip(const std::string& run_id, const std::vector<LogEntry>& log, Prng& dice);

}  // namespace rhz::sim
