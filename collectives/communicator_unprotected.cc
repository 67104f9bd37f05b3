// Ops of a run without protection (RHZ_PROTECTION=off), as in libraries that promise nothing: no copies of results, no originals,
// no done-wave.  An op is over here when its own result is full and all that it has to send is taken.  At a change of the view it FAILs
// where it is open; whoever finds that others have returned it ends it by itself.
#include "collectives/communicator.h"

namespace rhz {

// Ops of the program of which one full member proves that all have begun them, so that nobody runs ahead without bound.  Those by
// which groups and joins come about are protected in any case: their members would not agree on what there is.
bool Communicator::may_go_unprotected(const OpSpec& spec) {
  switch (spec.kind) {
    case OpKind::kAllReduce:
    case OpKind::kBarrier:
    case OpKind::kReduceScatter:
    case OpKind::kAllToAll: return true;
    case OpKind::kAllGather: return !spec.exchange;
    default: return false;
  }
}

// Of an op whose own result is full.
void Communicator::drain(Time now, Op& op) {
  if (sealed_) return;
  if (!op.executor->is_over() || transport_.reads(group_, op.seq)) {
    draining_ = true;
    return;
  }
  free(now, op);
  begin_ready(now);
}

// True: there is more to wait for.
bool Communicator::drain_all(Time now) {
  if (!draining_) return false;
  draining_ = false;
  std::vector<OpSeq> full;
  for (const auto& [seq, op] : ops_)
    if (op->unprotected && op->full) full.push_back(seq);
  for (OpSeq seq : full)
    if (Op* op = find(seq)) drain(now, *op);
  return draining_;
}

}  // namespace rhz
