// How a logged generation is cut, and what it still stands.  Pure functions, any thread.
#pragma once

#include <span>
#include <vector>

#include "recovery/parity/placement.h"
#include "recovery/parity/stripe_layout.h"
#include "runtime/agreement/generation.h"

namespace rhz::recovery {

struct GenerationShape {
  ErasureCode code;
  StripeLayout layout;
  // Of a shard in GenerationRecord::held_by and ::shards.
  size_t at(uint32_t stripe, uint32_t shard) const {
    return size_t{stripe} * code.shards() + shard;
  }
};
// kCorrupt: a record that nobody can have sealed.
[[nodiscard]] Result<GenerationShape> shape_of(const GenerationRecord& record);

// What the weakest stripe stands, where just these vaults live (parity/placement.h).
[[nodiscard]] Standing standing(const GenerationRecord& record, std::span<const PeerId> living);

// Of each stripe: shards with a living holder, as the planner asks for (GenerationFacts).
std::vector<uint32_t> shards_left(const GenerationRecord& record, std::span<const PeerId> living);

}  // namespace rhz::recovery
