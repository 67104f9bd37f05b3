// Records of the decision log.
#pragma once

#include <variant>
#include <vector>

#include "runtime/agreement/generation.h"
#include "runtime/agreement/resolution.h"
#include "runtime/agreement/view.h"

namespace rhz {

struct ConfigRecord {  // always the first one
  RunConfig config;
  friend bool operator==(const ConfigRecord&, const ConfigRecord&) = default;
};
struct ViewRecord {
  View view;
  friend bool operator==(const ViewRecord&, const ViewRecord&) = default;
};
struct ResolveRecord {
  Resolution resolution;
  friend bool operator==(const ResolveRecord&, const ResolveRecord&) = default;
};
// Who may enter at this admit op, and the state they must have (R2).  No joiners: the op is over, nobody entered.  Then `bulk`
// may name newcomers who pull this state from copies of it while the members go on; they enter at a later admit op.
struct AdmitRecord {
  OpSeq op;
  std::vector<MemberInfo> joiners;
  uint64_t revision = 0;
  Digest root{};
  std::vector<MemberInfo> bulk{};
  friend bool operator==(const AdmitRecord&, const AdmitRecord&) = default;
};
// Stands for all records before it, when the log is cut.
struct SnapshotRecord {
  RunConfig config;
  View view;
  LogIndex view_index;
  Resolution resolution;     // the newest; its epoch may be older than the view's
  std::vector<PeerId> retired;  // were members, and never may be again (V2): those that had not sealed once; what the others have seen tells
  struct History {
    Epoch epoch;
    std::vector<PeerId> members;
    friend bool operator==(const History&, const History&) = default;
  };
  std::vector<History> history;  // views that a lineage may still name
  std::vector<GenerationRecord> generations;  // by rising stage: the revision before the newest, and it
  friend bool operator==(const SnapshotRecord&, const SnapshotRecord&) = default;
};
using Record = std::variant<ConfigRecord, ViewRecord, ResolveRecord, AdmitRecord, SnapshotRecord,
                            GenerationRecord>;

// A record with its place.
struct LogEntry {
  Term term;
  LogIndex index;
  Record record;
  friend bool operator==(const LogEntry&, const LogEntry&) = default;
};

}  // namespace rhz
