// Which algorithm an op takes.  A function of what all its ranks agree on, so that all of them take
// the same one.
#pragma once

#include <array>

#include "collectives/schedule/algorithm.h"
#include "collectives/schedule/cost.h"
#include "collectives/schedule/schedule.h"
#include "runtime/agreement/view.h"
#include "runtime/base/canary.h"

namespace rhz {

// By size and place alone, while nothing is measured.  `ring`: the participants, ranks of `view`.
Algorithm choose_by_rule(uint64_t bytes, const View& view, const std::vector<Rank>& ring);
// The one that should be over first; of equals, the one with the lower number.  Where costs cover
// the participants; else by rule.
Algorithm choose_by_cost(uint64_t bytes, const View& view, const std::vector<Rank>& ring,
                         const Costs& costs, const RunConfig& config);
Schedule make_allreduce(Algorithm algorithm, const View& view, const std::vector<Rank>& ring,
                        Rank self);

// The choices of one group.  What was measured is told by an op of the group, and counts for the
// ops after it whose participants all took part in that one.  A choice by cost is made once for a
// view and a size class, that of sizes up to the same power of two.
class Chooser {
 public:
  // A view of the group, with each rank's first op.
  void install(const RunConfig& config, const std::vector<OpSeq>& first_op);
  void learn(OpSeq from, const Costs& costs);

  // kAuto is made concrete.
  Algorithm choose(Algorithm wanted, uint64_t bytes, const View& view,
                   const std::vector<Rank>& ring, OpSeq seq);

  // What an op of these participants takes now.
  Algorithm current(uint64_t bytes, const View& view, const std::vector<Rank>& ring) const;
  bool knows() const { return from_ != kNoOp && (newest_ <= from_ || canary(Rule::kM)); }
  OpSeq from() const { return from_; }  // kNoOp: nothing was measured
  const Costs& costs() const { return costs_; }

 private:
  RunConfig config_;
  OpSeq newest_;        // first op of the newest member
  OpSeq from_ = kNoOp;  // by which costs_ were told
  Costs costs_;
  std::array<Algorithm, 65> chosen_{};  // by size class; kAuto: not yet
};

}  // namespace rhz
