// What those who protect, protect again and restore want done.  Plain data.
#pragma once

#include <variant>
#include <vector>

#include "recovery/shards/vault_messages.h"
#include "runtime/agreement/generation.h"

namespace rhz::recovery {

// Through Member::propose().
struct ProposeGeneration {
  GenerationRecord record;
};
// The last action: sealed (and told to all holders), restored, or nothing was to be done.
struct ShardsDone {
  GenerationRecord record;
};
// The last action.  kStateLost names the stage and the next source.
struct ShardsFailed {
  Status status;
};
using ShardAction = std::variant<VaultSend, ProposeGeneration, ShardsDone, ShardsFailed>;
using ShardActions = std::vector<ShardAction>;

}  // namespace rhz::recovery
