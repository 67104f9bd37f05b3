// A decision log in a file of this host (format: log_format.h).  It survives the coordinator's
// process and, as far as the disk keeps what fdatasync promises, the host.
//
// append() is one write and one fdatasync.  cut() writes PATH.new, makes it durable and renames it
// over PATH.  The file is locked (flock) while it is open: two coordinators cannot use one log.
// After a write or an fdatasync has failed, what the disk holds is unknown and a later fdatasync
// that succeeds proves nothing (the kernel may have dropped the pages: "fsyncgate", PostgreSQL
// 2018), so the log refuses all appends until it is opened again.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "runtime/membership/decision_log.h"

namespace rhz {

// Opens, or creates, the log of this run.  Every error names the path, and what to do about it:
// kIo: the file cannot be opened, read or written.  kState: another coordinator has it.  kCorrupt,
// kVersion: not a log, damaged, of another version.  kRunId: the log of another run.
Result<std::unique_ptr<DecisionLog>> open_file_log(const std::string& path,
                                                   std::string_view run_id);

}  // namespace rhz
