// Vaults that hold shards, as a run knows them.  Plain data.
//
// A vault tells the coordinator of itself, and that tells everybody else.  Nothing of it is logged:
// who comes back to a new coordinator says it again.
#pragma once

#include <string>
#include <vector>

#include "runtime/agreement/generation.h"

namespace rhz {

struct VaultInfo {
  Holder holder;
  std::vector<std::string> endpoints;   // of its shard port, best first
  uint64_t bytes = 0, limit_bytes = 0;  // of shards: held, and at most
  friend bool operator==(const VaultInfo&, const VaultInfo&) = default;
};

}  // namespace rhz
