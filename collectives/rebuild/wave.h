// The done-wave of a group: who is known to hold the full result of which op, in the installed epoch (release rule a; W1, W2).
#pragma once

#include <set>
#include <vector>

#include "runtime/base/types.h"

namespace rhz {

class Wave {
 public:
  // A new epoch: nothing is known.
  void reset(uint32_t world) { known_.assign(world, {}); }
  // DONE(op) of a rank, which also says that all ops below `upto` are full or over there.  False: nothing that was not known.
  bool done(Rank rank, OpSeq op, OpSeq upto) {
    Known& known = known_[rank.value];
    const bool news = upto > known.upto || (op != kNoOp && !knows(rank, op));
    if (upto > known.upto) {
      known.upto = upto;
      known.beyond.erase(known.beyond.begin(), known.beyond.lower_bound(upto));
    }
    if (op != kNoOp && op >= known.upto) known.beyond.insert(op);
    return news;
  }
  bool knows(Rank rank, OpSeq op) const {
    const Known& known = known_[rank.value];
    return op < known.upto || known.beyond.contains(op);
  }

 private:
  struct Known {
    OpSeq upto;
    std::set<OpSeq> beyond;  // bounded by the ops that may be open at once
  };
  std::vector<Known> known_;
};

}  // namespace rhz
