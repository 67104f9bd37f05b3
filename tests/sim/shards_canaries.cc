// The simulator of shards has to notice when a rule is switched off: R1, R3 and R4, each within so
// many seeds; and nothing where nothing is planted.
#include <cstdio>
#include <string>

#include "tests/sim/planted.h"
#include "tests/sim/shards_cluster.h"
#include "tests/sim/trial.h"

namespace {

using rhz::Rule;
struct Bird {
  Rule rule;
  const char* invariant;
  const char* without;
};
constexpr Bird kBirds[] = {
    {Rule::kTwice, "R1", "a proposal is accepted however often it comes"},
    {Rule::kOldFirst, "R3", "the older generation is dropped before the newer one is sealed"},
    {Rule::kDomains, "R4", "shards are placed without regard to racks, and nobody checks"},
};
constexpr uint64_t kMostSeeds = 400, kControls = 10;

rhz::sim::Verdict found(Rule rule, uint64_t seed) {
  return rhz::sim::trial([=] {
    const rhz::sim::Planted planted(rule);
    return rhz::sim::ShardsCluster(rhz::sim::make_shards_config(seed)).run().violation;
  });
}

}  // namespace

int main() {
  bool good = true;
  for (uint64_t seed = 1; seed <= kControls; ++seed) {
    const auto verdict = found(Rule::kNone, seed);
    if (verdict.text.empty()) continue;
    std::printf("seed %llu without a bug: %s\n", static_cast<unsigned long long>(seed),
                verdict.text.c_str());
    good = false;
  }
  for (const Bird& bird : kBirds) {
    bool seen = false;
    for (uint64_t seed = 1; seed <= kMostSeeds && !seen; ++seed) {
      const auto verdict = found(bird.rule, seed);
      seen = verdict.oracle && verdict.text.starts_with(bird.invariant);
      if (seen)
        std::printf("%s found in seed %llu (%s): %s\n", bird.invariant,
                    static_cast<unsigned long long>(seed), bird.without, verdict.text.c_str());
    }
    if (!seen) std::printf("%s NOT FOUND: %s\n", bird.invariant, bird.without);
    good &= seen;
  }
  return good ? 0 : 1;
}
