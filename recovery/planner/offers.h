// What each source can give one stage, at which revision and price, or why it cannot.  Pure
// functions, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "recovery/planner/facts.h"

namespace rhz::recovery {

// In the order in which they are preferred where they cost the same.
enum class Source : uint8_t { replica, attach, vault, shards, shadow, average, disk };
inline constexpr size_t kSources = 7;

const char* source_name(Source source);  // "shards": one word, for logs
const char* source_text(Source source);  // "shards with parity": for sentences

struct Cost {
  uint64_t bytes = 0;  // moved over links, in memory or from disk, for all members of the stage
  double seconds = 0;  // members restore at the same time
  uint64_t steps_lost = 0;
};

struct Offer {
  Source source = Source::replica;
  uint64_t revision = 0;
  bool exact = true;
  Cost cost;
};

struct StageOffers {
  std::vector<Offer> offers;
  std::array<std::string, kSources>
      refused;  // by source: why it offers nothing; empty where it does
};

// Of all stages.  Offers beyond the run's revision are refused; so is an average of a neighbour
// that has neither a living replica nor an exact offer at the run's revision.
std::vector<StageOffers> offers_of(const RunFacts& run);

}  // namespace rhz::recovery
