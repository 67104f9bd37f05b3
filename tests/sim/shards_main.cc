// rhizome-sim-shards: generations of shards under faults, seed by seed.  Exit status 0: no
// violation.
//
//   rhizome-sim-shards --seed N [--steps]            one seed, with a timeline
//   rhizome-sim-shards --seeds A..B [--losses N]     until so many losses were lived through
//
// Every seed runs twice, and both runs have to be the same event for event.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "runtime/base/assert.h"
#include "tests/sim/shards_cluster.h"

namespace {

using namespace rhz::sim;
std::string running;

struct Options {
  uint64_t first = 1, last = 1, losses = UINT64_MAX;
  bool steps = false;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    if (flag == "--steps") {
      options.steps = true;
      continue;
    }
    ++i;
    if (flag == "--seed") {
      options.first = options.last = std::strtoull(value, nullptr, 10);
    } else if (flag == "--seeds") {
      const char* dots = std::strstr(value, "..");
      options.first = std::strtoull(value, nullptr, 10);
      options.last = dots ? std::strtoull(dots + 2, nullptr, 10) : options.first;
    } else if (flag == "--losses") {
      options.losses = std::strtoull(value, nullptr, 10);
    } else {
      std::fprintf(stderr, "unknown flag %s\n", flag.c_str());
      std::exit(2);
    }
  }
  return options;
}

void add(ShardsOutcome& sum, const ShardsOutcome& one) {
  sum.events += one.events;
  sum.losses += one.losses;
  sum.generations += one.generations;
  sum.replacements += one.replacements;
  sum.restored += one.restored;
  sum.typed_losses += one.typed_losses;
  sum.decoded += one.decoded;
  sum.restarts += one.restarts;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  rhz::set_assert_hook(
      [](void*) { std::printf("ASSERTION in %s\n", running.c_str()), std::fflush(stdout); },
      nullptr);
  const auto begin = std::chrono::steady_clock::now();
  ShardsOutcome sum;
  uint64_t seeds = 0, deserted = 0, violations = 0;
  for (uint64_t seed = options.first; seed <= options.last && sum.losses < options.losses; ++seed) {
    const ShardsConfig config = make_shards_config(seed);
    running = "seed " + std::to_string(seed) + ": " + config.text();
    ShardsOutcome outcome = ShardsCluster(config, options.steps).run();
    const ShardsOutcome again = ShardsCluster(config).run();
    if (outcome.violation.empty() && (again.hash != outcome.hash || again.events != outcome.events))
      outcome.violation = "not deterministic: the second run of this seed went another way";
    ++seeds;
    deserted += outcome.deserted;
    add(sum, outcome);
    if (outcome.violation.empty()) continue;
    ++violations;
    std::printf("VIOLATION %s\n  %s\n", outcome.violation.c_str(), running.c_str());
    break;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  const auto n = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf(
      "seeds=%llu deserted=%llu events=%llu losses=%llu generations=%llu placed_anew=%llu "
      "restored=%llu typed_losses=%llu stripes_decoded=%llu coordinator_restarts=%llu "
      "violations=%llu seconds=%.1f\n",
      n(seeds), n(deserted), n(sum.events), n(sum.losses), n(sum.generations), n(sum.replacements),
      n(sum.restored), n(sum.typed_losses), n(sum.decoded), n(sum.restarts), n(violations),
      took.count());
  return violations == 0 ? 0 : 1;
}
