// An exploration that finds nothing proves nothing: rules of docs/protocol.md are switched off one
// by one (runtime/base/canary.h), and each has to be seen by an oracle.  The cores' own assertions
// pass here.  With the name of a rule: that one alone, and the way to what was found.
#include <cstdio>
#include <cstring>
#include <vector>

#include "tests/explore/search.h"
#include "tests/sim/planted.h"

namespace {

using rhz::Rule;
using rhz::explore::Options;

struct Bird {
  Rule rule;
  const char* name;
  const char* without;
  void (*set)(Options& options);
};

void crash(Options& o) { o.crashes = 1; }
void suspicion(Options& o) { o.suspicions = 1; }
void crash_keep(Options& o) { o.crashes = 1, o.mode = rhz::RebuildMode::kKeep; }
void in_place(Options& o) { o.crashes = 1, o.in_place = true; }
void restart(Options& o) { o.crashes = o.restarts = 1; }
void halves(Options& o) { o.crashes = o.halves = 1; }
void retain(Options& o) { o.crashes = 1, o.retain = true; }
// The second is aborted, and so has no values that prove the first (W13).
void two_ops(Options& o) { o.crashes = 1, o.retain = true, o.ops = 2, o.mode = rhz::RebuildMode::kFail; }

// What has to happen for the rule to matter.
constexpr Bird kBirds[] = {
    {Rule::kNone, "none", "nothing", crash},
    {Rule::kA, "A", "frames of a newer epoch are dropped, not held", crash},
    {Rule::kB, "B", "an op is released when its own result is full", suspicion},
    {Rule::kC, "C", "decisions are told before they are logged", restart},
    {Rule::kD, "D", "install keeps what the resolution did not keep", crash},
    {Rule::kE, "E", "the epoch goes on after the report", crash_keep},
    {Rule::kF, "F", "the resolution waits for the first report only", retain},
    {Rule::kH, "H", "the runtime keeps no originals, strict and in place", in_place},
    {Rule::kI, "I", "what is freed is not reported, nor announced again", two_ops},
    {Rule::kJ, "J", "transports are not quiesced before SEALED and before an end", halves},
};

bool is_as_it_should_be(const Bird& bird, bool tell) {
  Options options;
  options.together = true;
  options.most_states = 5'000'000;
  bird.set(options);
  const rhz::sim::Planted planted(bird.rule);
  const rhz::explore::Found found = rhz::explore::search(options);
  const bool caught = !found.violation.empty();
  std::printf("rule=%s found=%s%s states=%llu way=%zu without=\"%s\" by=\"%s\" in=\"%s\"\n",
              bird.name, caught ? "yes" : "NO", found.complete || caught ? "" : " (CUT)",
              static_cast<unsigned long long>(found.states), found.way.size(), bird.without,
              found.violation.c_str(), options.text().c_str());
  std::fflush(stdout);
  for (const std::string& step : found.way)
    if (tell) std::printf("  %s\n", step.c_str());
  return caught == (bird.rule != Rule::kNone);
}

}  // namespace

int main(int argc, char** argv) {
  bool all = true;
  for (const Bird& bird : kBirds)
    if (argc < 2 || std::strcmp(argv[1], bird.name) == 0) all &= is_as_it_should_be(bird, argc > 1);
  return all ? 0 : 1;
}
