#include "runtime/membership/decision_log.h"

#include <string>
#include <variant>

namespace rhz {
namespace {

Status stale(const LogTip& tip, const LogEntry& entry) {
  return {Code::kState, "stale: entry " + std::to_string(entry.index.value) + " of term " +
                            std::to_string(entry.term.value) + " does not follow entry " +
                            std::to_string(tip.index.value) + " of term " +
                            std::to_string(tip.term.value)};
}

}  // namespace

Status check_append(const LogTip& tip, const LogEntry& entry) {
  if (std::holds_alternative<SnapshotRecord>(entry.record))
    return {Code::kState, "a snapshot replaces the log, it is not appended to it"};
  if (entry.index != tip.index.next() || entry.term < tip.term) return stale(tip, entry);
  return Status::ok();
}

Status check_cut(const LogTip& tip, const LogEntry& snapshot) {
  if (!std::holds_alternative<SnapshotRecord>(snapshot.record))
    return {Code::kState, "only a snapshot may replace the log"};
  if (tip.index == LogIndex(0)) return {Code::kState, "an empty log cannot be cut"};
  if (snapshot.index != tip.index || snapshot.term < tip.term) return stale(tip, snapshot);
  return Status::ok();
}

}  // namespace rhz
