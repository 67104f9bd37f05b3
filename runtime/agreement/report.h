// What a sealed peer tells about its ops, as plain data (W5, W6; "Errors are uniform too", 7).
#pragma once

#include <vector>

#include "runtime/agreement/blocks.h"
#include "runtime/base/status.h"
#include "runtime/base/types.h"

namespace rhz {

// What becomes of an op when a participant dies.  Values as RHZ_REBUILD_*.
enum class RebuildMode : uint8_t { kStrict = 1, kKeep = 2, kFail = 3, kInclude = 4 };

// Chunks [first, first + count) are held with this lineage.
struct HeldRun {
  uint32_t first = 0, count = 0;
  Epoch lineage;
  std::vector<Slot> departed = {};  // rising: whose input is in them though they were gone when that epoch began (kInclude)
  friend bool operator==(const HeldRun&, const HeldRun&) = default;
};

// Chunks [first, first + count) are here half made: the sums over these slots, some of which are not in the next view.
struct PartialRun {
  uint32_t first = 0, count = 0;
  std::vector<Slot> inputs;  // rising
  friend bool operator==(const PartialRun&, const PartialRun&) = default;
};

struct OpReport {
  OpSeq seq;
  bool begun = false;
  bool freed = false;  // its wave is known here: everybody holds it
  bool admit = false;  // an admit op: no data, ends by the rules of joins
  bool full = false;   // holds all that it needs, or knows that those who need something do (Q1)
  RebuildMode mode = RebuildMode::kStrict;
  Blocks blocks;           // kind, root, layout
  uint32_t chunks = 0;     // of the whole op; 0 while not begun
  uint64_t signature = 0;  // 0 while not begun
  std::vector<HeldRun> held;  // rising, disjoint
  std::vector<PartialRun> partials;  // the same; kInclude only
  Status fail;                // FAIL raised here and not yet answered
  friend bool operator==(const OpReport&, const OpReport&) = default;
};

struct GroupReport {
  GroupId group;
  OpSeq ended_upto;  // all ops below are over here: freed or aborted
  OpSeq begun_upto;  // one more than the highest op begun here
  std::vector<OpReport> open;  // ops >= ended_upto of which there is anything to say, rising
  std::vector<PeerId> members;  // by rank, those included that are gone; empty: the root group
  // All participants have begun its last op, by which it is closed.  Who does not report the group then has forgotten it, and
  // freed all its ops before; who does not report one that is not closed does not know of it yet (G6).
  bool closed = false;
  friend bool operator==(const GroupReport&, const GroupReport&) = default;
};

struct SealReport {
  Epoch epoch;  // the view that is sealed for
  std::vector<GroupReport> groups;
  friend bool operator==(const SealReport&, const SealReport&) = default;
};

}  // namespace rhz
