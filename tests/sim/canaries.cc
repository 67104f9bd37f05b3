// A simulator that finds nothing proves nothing: every rule of docs/protocol.md is switched off in
// turn (runtime/base/canary.h), and an oracle or the liveness check of some seed has to see it. The
// cores' own assertions pass here, and a seed that ends by a signal counts for nothing.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/sim/cluster.h"
#include "tests/sim/planted.h"
#include "tests/sim/trial.h"

namespace {

using rhz::Rule;

struct Bird {
  Rule rule;
  const char* name;
  const char* without;
};
constexpr Bird kBirds[] = {
    {Rule::kA, "A", "frames of a newer epoch are dropped, not held"},
    {Rule::kB, "B", "an op is released when its own result is full"},
    {Rule::kC, "C", "decisions are told before they are logged"},
    {Rule::kD, "D", "install keeps what the resolution did not keep"},
    {Rule::kE, "E", "the epoch goes on after the report"},
    {Rule::kF, "F", "the resolution waits for the first report only"},
    {Rule::kG, "G", "a partial goes on also to those whose input it has"},
    {Rule::kH, "H", "the runtime keeps no originals, strict and in place"},
    {Rule::kI, "I", "what is freed is not reported, nor announced again"},
    {Rule::kJ, "J", "transports are not quiesced before SEALED and before an end"},
    {Rule::kG2, "G2", "a DONE of any group counts in the root group"},
    {Rule::kG6, "G6", "a group that is closed is not reported as such"},
    {Rule::kR1, "R1", "a send returns when it is sent, and no copy is kept"},
    {Rule::kR3, "R3", "a message that comes twice is taken twice"},
    {Rule::kM, "M", "newcomers choose by what only the others were told"},
    {Rule::kO2, "O2", "digests of results are not compared"},
    {Rule::kR2, "R2", "what a joiner has pulled in bulk is taken for the logged state"},
    {Rule::kR5, "R5", "what is unanswered is not sent again after an install"},
    {Rule::kWave, "wave", "one DONE may be missing from the wave"},
    {Rule::kW2, "W2", "DONE is not said again after an install"},
    {Rule::kAbort1, "abort1", "a FAIL is no part of the report"},
    {Rule::kAbort3, "abort3", "an op is aborted though it is complete"},
    {Rule::kAbort6, "abort6", "an ABORT of an op that is not begun is forgotten"},
    {Rule::kJoin5, "join5", "an admit op ends only while a joiner is there"},
    {Rule::kFirst, "first", "joiners begin with op 0"},
};
constexpr uint64_t kMostSeeds = 4000;  // per rule
constexpr uint64_t kControls = 20;  // seeds in which nothing is planted, and nothing may be found

// Of send and receive: whether the seed has messages that all must arrive.  Of O2: whether bits flip in it.  R2 is that of states.
bool is_of_use(Rule rule, uint64_t seed) {
  if (rule == Rule::kO2)
    return rhz::sim::make_config(seed).per_second[static_cast<size_t>(rhz::sim::Fault::kFlip)] > 0;
  if (rule == Rule::kG) return rhz::sim::make_config(seed).include > 0;
  if (rule == Rule::kR2) return rhz::sim::make_config(seed).bulk_sync;
  if (rule != Rule::kR1 && rule != Rule::kR3 && rule != Rule::kR5) return true;
  const rhz::sim::Config config = rhz::sim::make_config(seed);
  return config.letters > 0 && !config.hurried_letters;
}

rhz::sim::Verdict found(Rule rule, uint64_t seed) {
  return rhz::sim::trial([=] {
    const rhz::sim::Planted planted(rule);
    return rhz::sim::Cluster(rhz::sim::make_config(seed)).run().violation;
  });
}

}  // namespace

int main(int argc, char** argv) {
  const char* only = argc > 1 ? argv[1] : nullptr;
  bool all = true;
  for (uint64_t seed = 1; seed <= kControls; ++seed) {
    if (const std::string what = found(Rule::kNone, seed).text; !what.empty()) {
      std::printf("nothing planted, and seed %llu finds: %s\n",
                  static_cast<unsigned long long>(seed), what.c_str());
      all = false;
    }
  }
  for (const Bird& bird : kBirds) {
    if (only && std::strcmp(only, bird.name) != 0) continue;
    const auto begin = std::chrono::steady_clock::now();
    std::string what;
    uint64_t seed = 0, seeds = 0, signals = 0;
    for (; what.empty() && seeds < kMostSeeds; ++seeds) {
      do ++seed;
      while (!is_of_use(bird.rule, seed));
      const rhz::sim::Verdict verdict = found(bird.rule, seed);
      if (verdict.oracle)
        what = verdict.text;
      else
        signals += !verdict.text.empty();
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    all &= !what.empty();
    std::printf(
        "rule=%s found=%s seeds=%llu signals=%llu seconds=%.2f without=\"%s\" by=\"%.120s\"\n",
        bird.name, what.empty() ? "NO" : "yes", static_cast<unsigned long long>(seeds),
        static_cast<unsigned long long>(signals), took.count(), bird.without, what.c_str());
    std::fflush(stdout);
  }
  return all ? 0 : 1;
}
