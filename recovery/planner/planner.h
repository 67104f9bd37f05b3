// Which source gives each lost stage its state back.  A pure function of facts, so that it can be
// asked without acting.
//
// All members of a run hold one revision.  So where no source of some stage has the current one,
// everybody goes back to one revision that every stage has a source for, those that live included.
// Ranks of what can be done:
//
//   1   exact, with the disk or without
//   2   neighbour averages, at the current revision
//
// (Approximate::before_disk: what is exact without the disk, then averages, then what is exact with
// it; never: no averages.)  Within a rank, whatever has the run where it was soonest: the slowest
// stage's restore, and the steps that are lost at step_seconds each.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "recovery/planner/facts.h"
#include "recovery/planner/offers.h"
#include "runtime/base/status.h"

namespace rhz::recovery {

// A source and what the planner made of it.
struct Verdict {
  Source source = Source::replica;
  bool serves = false;
  bool chosen = false;
  Offer offer;         // where it serves: at the plan's revision, or else its newest one
  std::string reason;  // why it was not chosen
};

struct StagePlan {
  uint32_t stage = 0;
  bool keeps = false;  // all its members live and stay at the run's revision: nothing to do
  Offer chosen;        // unless it keeps
  std::vector<Verdict> verdicts;  // of all sources in their order; none where it keeps

  // One line of key=value pairs: the choice, its cost, and why not the others.
  std::string line() const;
  // What to turn to if the choice fails; none at the plan's revision: plan again.
  std::optional<Source> next() const;
  // The same for texts: the text of the next source that serves at the plan's
  // revision, else "none at this revision: plan again".
  std::string next_source() const;
};

struct Plan {
  uint64_t revision = 0;  // that all members hold afterwards
  bool exact = true;
  Cost cost;                      // bytes of all stages, seconds of the slowest, steps lost
  std::vector<StagePlan> stages;  // of all stages, in their order

  std::string line() const;
};

// kStateLost, naming the first stage that nothing serves and each source's reason: nothing brings
// the run back. kArgument: no stages.
[[nodiscard]] Result<Plan> make_plan(const RunFacts& run);

}  // namespace rhz::recovery
