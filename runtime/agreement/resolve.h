// The one subtle calculation of the protocol, on its own: reports of the sealed members → decisions about their ops.
// A pure function (docs/protocol.md, "A peer dies, or is suspected", step 3, and "Errors are uniform too").
#pragma once

#include <functional>
#include <vector>

#include "runtime/agreement/report.h"
#include "runtime/agreement/resolution.h"
#include "runtime/agreement/view.h"

namespace rhz {

// Of one group.  Ranks are those of its members in `view`.
struct ResolveInput {
  GroupId group = kRootGroup;
  const View* view = nullptr;             // its members in the view to install
  std::vector<const SealReport*> reports;  // by rank, of every member (rule F)
  std::vector<OpSeq> first_op;            // by rank
  std::vector<Rank> ring;
  bool relayed = false;                   // the ring avoids a broken edge
  OpSeq admit_ended = kNoOp;
  std::vector<OpDecision> aborts;         // of the last resolution: they stand until the op has ended everywhere (rule 5)
  // Members of that view who took part in that op: the contributors of a value of that lineage.
  std::function<std::vector<PeerId>(Epoch lineage, OpSeq seq)> contributors;
};

struct ResolveOutput {
  GroupResolution group;
  // L1: two lineages of one chunk were reported.  A bug; the newer one was kept.
  bool lineages_disagree = false;
};

ResolveOutput resolve(const ResolveInput& input);

// Order in which values travel: by slot, avoiding broken edges (pairs of ranks).  Empty when no ring avoids them all.
std::vector<Rank> make_ring(uint32_t world, const std::vector<std::pair<Rank, Rank>>& broken);

}  // namespace rhz
