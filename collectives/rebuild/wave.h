// The done-wave of a group: who is known to hold the full result of which op, in the installed epoch (release rule a; W1, W2),
// and with which digest (O2).
#pragma once

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
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

  // The digest of a rank's result of the op.  False: it was known.
  bool digested(Rank rank, OpSeq op, uint64_t digest) {
    std::vector<Said>& digests = known_[rank.value].digests;
    const auto at = std::lower_bound(digests.begin(), digests.end(), op, before);
    if ((at != digests.end() && at->op == op) || digests.size() >= kMostDigests) return false;
    digests.insert(at, {op, digest});
    return true;
  }
  std::optional<uint64_t> digest(Rank rank, OpSeq op) const {
    const std::vector<Said>& digests = known_[rank.value].digests;
    const auto at = std::lower_bound(digests.begin(), digests.end(), op, before);
    if (at == digests.end() || at->op != op) return std::nullopt;
    return at->digest;
  }
  // The op is over here.
  void forget(OpSeq op) {
    for (Known& known : known_) {
      const auto at = std::lower_bound(known.digests.begin(), known.digests.end(), op, before);
      if (at != known.digests.end() && at->op == op) known.digests.erase(at);
    }
  }

 private:
  struct Said {
    OpSeq op;
    uint64_t digest;
  };
  static bool before(const Said& said, OpSeq op) { return said.op < op; }
  // More than ops may be open at once (CommunicatorLimits), here and ahead of here.
  static constexpr size_t kMostDigests = 1024;

  struct Known {
    OpSeq upto;
    std::set<OpSeq> beyond;     // bounded by the ops that may be open at once
    std::vector<Said> digests;  // rising
  };
  std::vector<Known> known_;
};

}  // namespace rhz
