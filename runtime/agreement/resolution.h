// What is decided about the ops in flight when a view is installed, as plain data.
#pragma once

#include <utility>
#include <vector>

#include "runtime/base/status.h"
#include "runtime/base/types.h"

namespace rhz {

// What becomes of chunks [first, first + count).
struct ChunkRun {
  enum class Fate : uint8_t {
    kRedo = 0,   // reduced again from the inputs, or served by its one source when that begins
    kKeep = 1,   // holders serve those who need it and lack it
    kDrop = 2,   // nobody alive needs it
    kEmpty = 3,  // its source is gone: zeros, without contributors
    kResume = 4, // a partial goes on from its holder to those whose input it lacks (rule G)
  };
  uint32_t first = 0, count = 0;
  Epoch lineage;              // kKeep
  std::vector<Rank> holders;  // of the new view, rising; kKeep: never empty; kResume: one
  Fate fate = Fate::kRedo;
  // Slots, rising.  kKeep: HeldRun::departed.  kResume: whose input the partial has.
  std::vector<Slot> inputs = {};
  friend bool operator==(const ChunkRun&, const ChunkRun&) = default;
};

struct OpDecision {
  enum class Outcome : uint8_t { kFinal = 1, kAbort = 2, kChunks = 3 };
  OpSeq seq;
  Outcome outcome = Outcome::kChunks;
  Status reason;               // kAbort: what every participant's op ends with
  std::vector<ChunkRun> runs;  // kChunks: rising, complete; empty: REDO everything
  friend bool operator==(const OpDecision&, const OpDecision&) = default;
};

// The FAIL of this peer for this op was among the reports: it is answered, whatever the answer.
struct AnsweredFail {
  PeerId peer;
  OpSeq seq;
  friend bool operator==(const AnsweredFail&, const AnsweredFail&) = default;
};

struct GroupResolution {
  GroupId group;
  std::vector<Rank> ring;        // all ranks of the group, in the order in which values travel
  std::vector<OpSeq> first_op;   // by rank: the first op in which that member takes part
  OpSeq admit_ended = kNoOp;     // the admit op that this resolution ends
  std::vector<OpDecision> ops;   // rising; ops not named and begun by nobody start afresh
  std::vector<AnsweredFail> answered;
  // Some pair of members cannot reach each other.  The ring avoids such edges, and DONE travels on it from rank to rank.
  bool relayed = false;
  friend bool operator==(const GroupResolution&, const GroupResolution&) = default;
};

// Between two ranks of the view.
using Edges = std::vector<std::pair<Rank, Rank>>;

struct Resolution {
  Epoch epoch;
  std::vector<GroupResolution> groups;  // the root group first; another one only if somebody reported it
  Edges broken;  // that rings avoid, also those of groups that begin in this epoch
  friend bool operator==(const Resolution&, const Resolution&) = default;
};

}  // namespace rhz
