// From what a process sees to the planner's facts: who is a member, what the vault of this host
// keeps, which shards lie in the vaults of all hosts, which checkpoints are on disk.  Snapshots in
// the vaults of other hosts it does not see.  Pure functions, any thread.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <vector>

#include "recovery/planner/facts.h"
#include "recovery/vault/vault.h"
#include "runtime/agreement/generation.h"
#include "runtime/base/types.h"

namespace rhz::recovery {

struct Sight {
  uint32_t replicas = 1;                      // of each stage; slot = stage · replicas + replica
  std::set<Slot> here;                        // slots of members that hold the run's revision
  std::vector<Holding> holdings;              // of the own host's vault
  std::vector<GenerationRecord> generations;  // sealed; of a stage the newest one comes last
  std::vector<PeerId> vaults;                 // that live
  std::vector<uint64_t> disk;                 // revisions of complete checkpoints
  uint64_t state_bytes = 0;                   // of a member about whom the vault does not say
};

inline constexpr uint32_t kMaxPlannedSlots = 65'536;  // B1: stages · replicas

// Of stage `stage`: members that are here, others that are lost, and what gives those their state.
// A source counts where all who need it have it: of attach those that are lost, of snapshots all.
StageFacts gather(const Sight& sight, uint32_t stage);

// What is not known in `facts` (0, none) is taken from `seen`.
void complete(StageFacts& facts, const StageFacts& seen);

}  // namespace rhz::recovery
