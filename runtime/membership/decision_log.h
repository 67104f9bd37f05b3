// Where the coordinator's decisions are kept: a dense sequence of entries that only grows, or is
// replaced as a whole by a snapshot (protocol.md, "Roles").  What append() has answered with OK
// survives the coordinator; nothing is told to a peer before that (C1).  Owned and called by one
// thread, the coordinator's driver; calls block for as long as the disk takes.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/agreement/record.h"
#include "runtime/base/status.h"

namespace rhz {

// The owner asks its coordinator for a snapshot above this size: 64 MiB, 320,000 small records, are
// checked and decoded in 0.8 s (one core of a busy two-core host, log_format's scan_log).
inline constexpr uint64_t kCutLogBytes = uint64_t{64} << 20;
// Appends that would make a log larger than this are refused: recover() reads the log as a whole.
inline constexpr uint64_t kMaxLogBytes = uint64_t{1} << 30;

// The newest entry.
struct LogTip {
  Term term;
  LogIndex index;  // 0: the log is empty
  Digest hash{};   // of the chain up to here; zero where a backend keeps none
  friend bool operator==(const LogTip&, const LogTip&) = default;
};

class DecisionLog {
 public:
  virtual ~DecisionLog() = default;

  // All entries, oldest first, and all of them durable.  To be called before anything else; may be
  // repeated.
  virtual Result<std::vector<LogEntry>> recover() = 0;

  // Durable when it returns OK.  kState: not the entry after the tip, or of an older term
  // ("stale"): nothing was written.  kArgument: the entry is larger than a record may be.  kIo:
  // unknown whether it is in the log; every later append fails until the log is opened again and
  // recover() has told.
  virtual Status append(const LogEntry& entry) = 0;

  // Replaces all entries by this one, which stands for them: a SnapshotRecord with the index of the
  // tip.  Either the old entries or the snapshot are there after a crash.  kState as append(); kIo:
  // nothing was replaced, unless the next append fails too.
  virtual Status cut(const LogEntry& snapshot) = 0;

  virtual uint64_t bytes() const = 0;
  virtual LogTip tip() const = 0;
};

// What every backend refuses before it writes.
Status check_append(const LogTip& tip, const LogEntry& entry);
Status check_cut(const LogTip& tip, const LogEntry& snapshot);

}  // namespace rhz
