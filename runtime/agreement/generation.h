// A generation: one revision of one stage's state, as shards with parity in the vaults of several
// hosts (docs/recovery.md).  It is sealed, and counts, from the moment in which its record is in
// the decision log.  Plain data and pure functions, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/status.h"
#include "runtime/base/types.h"

namespace rhz {

// Of one record, and of the records of all stages that the log knows together: 2^18 digests are 4 MiB, so that
// a snapshot of the log holds them all.  With shards of 16 MiB these are 256 GiB and 4 TiB.
inline constexpr size_t kMaxGenerationShards = size_t{1} << 14;
inline constexpr size_t kMaxLoggedShards = size_t{1} << 18;
inline constexpr size_t kMaxHolders = size_t{1} << 12;  // vaults of one record
inline constexpr size_t kMaxStages = size_t{1} << 12;
// Of each stage the newest one, and the revision before it, whose shards are there until a newer
// one begins to be written.
inline constexpr size_t kMaxKnownGenerations = 2 * kMaxStages;

// A vault that holds shards.
struct Holder {
  PeerId vault;      // new for every incarnation: a vault that restarts is empty
  std::string host;  // name; a failure domain
  std::string rack;  // a failure domain too; empty: none but the host
  friend bool operator==(const Holder&, const Holder&) = default;
};

// Slots first, first + stride, …, `count` of them: whose trainers hold a stage, now or whenever they
// come back.  Nobody's (count 0): of a stage that was given up.
struct StageSlots {
  uint32_t first = 0, count = 0, stride = 1;
  bool has(Slot slot) const {
    if (slot.value < first || stride == 0) return false;
    const uint32_t offset = slot.value - first;
    return offset % stride == 0 && offset / stride < count;
  }
  friend bool operator==(const StageSlots&, const StageSlots&) = default;
};

struct GenerationRecord {
  uint32_t stage = 0;
  uint64_t revision = 0;   // of the state; grows from record to record of a stage (R1)
  uint32_t placement = 0;  // 0: as it was sealed; one more each time lost shards got new holders
  Digest root{};           // of the state
  uint64_t state_bytes = 0;
  uint32_t data_shards = 0, parity_shards = 0;  // k and m, of each stripe
  uint64_t shard_bytes = 0;
  std::vector<Holder> holders;
  // Of every shard, stripe by stripe, data shards first: its holder, by index, and its tensor
  // digest (runtime/digest), which the digests of its blocks must give.
  std::vector<uint16_t> held_by;
  std::vector<Digest> shards;
  StageSlots slots;  // the same in all records of a stage
  friend bool operator==(const GenerationRecord&, const GenerationRecord&) = default;
};

// What the coordinator asks before it logs `proposed`: true: log it; false: it is what `logged`,
// the newest record of that stage (or null), says already.
//
//   kArgument  it contradicts itself, or some failure domain holds more than m shards of a stripe
//              (R4)
//   kState     a newer revision or another placement was logged first, or the stage is of other
//              slots
//   kDiverged  the revision is logged with another root, or with other shards (R1)
[[nodiscard]] Result<bool> judge_generation(const GenerationRecord* logged,
                                            const GenerationRecord& proposed);

// Of records as the coordinator tells them, by rising stage and revision: the newest of each stage.
std::vector<GenerationRecord> newest_of(std::vector<GenerationRecord> known);

}  // namespace rhz
