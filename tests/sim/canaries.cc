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

using rhz::milliseconds;
using rhz::Rule;
using rhz::sim::Config;
using rhz::sim::Fault;

struct Bird {
  Rule rule;
  const char* name;
  const char* without;
  void (*set)(Config& config) = nullptr;  // a workload of its own: the rule rarely matters
};

double& rate(Config& c, Fault fault) { return c.per_second[static_cast<size_t>(fault)]; }

// Joins, and deaths that make room for them; nothing else yet.
void joins_only(Config& c) {
  only_faults(c, "");
  c.groups = c.bulk_sync = c.core_only = c.late_break = false;
  c.letters = 0;
  c.odd = c.hasty = 0;
  c.run.protection = true;
  c.run.verify = rhz::Verify::kOff;
  c.run.min_world = 1;
  c.run.world = 3;
  c.run.max_world = c.processes = 6;
  c.admit_every = 1;
  rate(c, Fault::kJoin) = 20;
  rate(c, Fault::kCrash) = 5;
}
// An ABORT of the op behind a boundary, and a newcomer who was not there when it was decided: the
// boundary is cancelled by one who has not heard that the others have gone on.
void late_cancels(Config& c) {
  joins_only(c);
  c.run.retain_bytes = 0;
  c.run.world = 5;
  rate(c, Fault::kOneWay) = 40;
  rate(c, Fault::kCancel) = 40;
}
// Joiners that die on their way.
void dying_joiners(Config& c) {
  joins_only(c);
  c.run.world = 4;
  c.run.max_world = c.processes = 8;
  rate(c, Fault::kJoin) = 40;
  rate(c, Fault::kCrash) = 40;
}
// Views that are smaller than the program wants.
void few(Config& c) {
  joins_only(c);
  c.run.world = c.run.min_world = 4;
  rate(c, Fault::kCrash) = 20;
}
// Nobody dies: no seal finds out by itself what does not fit together.
void odd_ops(Config& c) {
  joins_only(c);
  only_faults(c, "");
  c.odd = 0.05;
}
// Members of groups that come and go.
void groups(Config& c) {
  joins_only(c);
  c.groups = true;
  rate(c, Fault::kCancel) = 20;
}
// An op behind the boundary that takes its time.
void ahead(Config& c) {
  joins_only(c);
  c.ahead = true;
  c.ops_per_step = 2;
  c.bulk = 1;
  c.run.chunk_bytes = 4096;
  c.limits.window_bytes = 1;
}
// What members say again crosses the answer, and a newcomer has the state of that op already: it
// pulled it while they went on.
void crossing(Config& c) {
  joins_only(c);
  c.bulk_sync = true;
  c.run.world = 2;
  c.run.max_world = c.processes = 4;
  c.member.repeat = c.base_latency / 2;
  c.chaos = milliseconds(1000);
  rate(c, Fault::kJoin) = 40;
  rate(c, Fault::kCrash) = 10;
  rate(c, Fault::kCancel) = 30;
}
// A joiner that reaches no member, and says so.
void unreachable(Config& c) {
  joins_only(c);
  c.run.world = 1;
  c.run.max_world = c.processes = 3;
  c.big_state = true;
  rate(c, Fault::kAccuse) = 400;
}

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
    {Rule::kG6, "G6", "a group that is closed is not reported as such", groups},
    {Rule::kR1, "R1", "a send returns when it is sent, and no copy is kept"},
    {Rule::kR3, "R3", "a message that comes twice is taken twice"},
    {Rule::kM, "M", "newcomers choose by what only the others were told"},
    {Rule::kO2, "O2", "digests of results are not compared"},
    {Rule::kR2, "R2", "what a joiner has pulled in bulk is taken for the logged state"},
    {Rule::kR5, "R5", "what is unanswered is not sent again after an install"},
    {Rule::kWave, "wave", "one DONE may be missing from the wave"},
    {Rule::kW2, "W2", "DONE is not said again after an install"},
    {Rule::kInput, "W14", "a chunk begins before its input is there"},
    {Rule::kOutput, "W15", "nobody is told that a result which was read is made anew"},
    {Rule::kPassing, "passing", "the watermark of a partial that passes is taken for a proof"},
    {Rule::kAbort1, "abort1", "a FAIL is no part of the report"},
    {Rule::kAbort2, "abort2", "a FAIL is answered when whoever raised it has reported, and the others have not"},
    {Rule::kAbort3, "abort3", "an op is aborted though it is complete"},
    {Rule::kAbort4, "abort4", "a cancel that is refused ends no later op"},
    {Rule::kAbort5, "abort5", "a resolution does not repeat the ABORTs of the last one",
     late_cancels},
    {Rule::kAbort6, "abort6", "an ABORT of an op that is not begun is forgotten"},
    {Rule::kAbort8, "abort8", "ops of a view below min_world go on", few},
    {Rule::kAbort9, "abort9", "a frame with another signature is dropped, and nobody is told", odd_ops},
    {Rule::kJoin2, "join2", "ops behind an admit op begin before it is over", ahead},
    {Rule::kJoin3, "join3",
     "an admit op is decided again when members say again that they stand there", crossing},
    {Rule::kJoin4, "join4", "whoever is named by ADMIT enters, with the state or without",
     unreachable},
    {Rule::kJoin5, "join5", "an admit op ends only while a joiner is there", dying_joiners},
    {Rule::kGone, "gone", "a joiner that is gone is waited for", dying_joiners},
    {Rule::kFirst, "first", "joiners begin with op 0"},
};
constexpr uint64_t kMostSeeds = 4000;  // per rule

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

rhz::sim::Verdict found(const Bird& bird, uint64_t seed, bool planted) {
  return rhz::sim::trial([&] {
    const rhz::sim::Planted rule(planted ? bird.rule : Rule::kNone);
    Config config = rhz::sim::make_config(seed);
    if (bird.set) bird.set(config);
    return rhz::sim::Cluster(config).run().violation;
  });
}

// In the seed that found the bug there is nothing without it.
bool is_clean(const Bird& bird, uint64_t seed) {
  const std::string what = found(bird, seed, false).text;
  if (what.empty()) return true;
  std::printf("rule=%s: nothing planted, and seed %llu finds: %s\n", bird.name, static_cast<unsigned long long>(seed), what.c_str());
  return false;
}

bool is_found(const Bird& bird) {
  const auto begin = std::chrono::steady_clock::now();
  std::string what;
  uint64_t seed = 0, seeds = 0, signals = 0;
  for (; what.empty() && seeds < kMostSeeds; ++seeds) {
    do ++seed;
    while (!is_of_use(bird.rule, seed));
    const rhz::sim::Verdict verdict = found(bird, seed, true);
    if (verdict.oracle)
      what = verdict.text;
    else
      signals += !verdict.text.empty();
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf(
      "rule=%s found=%s seeds=%llu signals=%llu seconds=%.2f without=\"%s\" by=\"%.120s\"\n",
      bird.name, what.empty() ? "NO" : "yes", static_cast<unsigned long long>(seeds),
      static_cast<unsigned long long>(signals), took.count(), bird.without, what.c_str());
  std::fflush(stdout);
  return !what.empty() && is_clean(bird, seed);
}

}  // namespace

int main(int argc, char** argv) {
  const char* only = argc > 1 ? argv[1] : nullptr;
  uint32_t tried = 0, seen = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (const Bird& bird : kBirds) {
    if (only && std::strcmp(only, bird.name) != 0) continue;
    ++tried;
    seen += is_found(bird);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("canaries=%u found=%u seconds=%.1f\n", tried, seen, took.count());
  if (tried == 0) std::fprintf(stderr, "sim_canaries: there is no rule \"%s\"\n", only);
  return tried > 0 && seen == tried ? 0 : 1;
}
