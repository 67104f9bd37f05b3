// Blocks of different sizes.  Of most kinds all ranks know the counts.  Of an all-to-all each knows its own: the ranks tell each other
// first, by an all-gather with the number before it, behind which no other op begins until it is over.
#include <numeric>

#include "collectives/communicator.h"

namespace rhz {

// An op that is for another number of ranks than the view has fails, and moves nothing: its blocks are empty.
std::vector<uint64_t> Communicator::counts_of(const OpSpec& spec, const Blocks& blocks) const {
  if (spec.varying->counts.size() == blocks.count()) return spec.varying->counts;
  return std::vector<uint64_t>(blocks.count(), 0);
}

OpSpec Communicator::exchange_of(Submission& submission) {
  submission.exchange = std::make_unique<Exchange>();
  Exchange& exchange = *submission.exchange;
  exchange.next = submission.spec;
  const std::vector<uint64_t>& row = exchange.next.varying->give;
  exchange.rows.assign(row.size() * row.size(), 0);
  OpSpec spec;
  spec.kind = OpKind::kAllGather;
  spec.dtype = reduce::Dtype::u64;
  spec.rebuild = RebuildMode::kStrict;
  spec.exchange = true;
  spec.ranks = exchange.next.ranks;
  spec.count = row.size();
  spec.timeout = exchange.next.timeout;
  spec.send = reinterpret_cast<const std::byte*>(row.data());
  spec.recv = reinterpret_cast<std::byte*>(exchange.rows.data());
  return spec;
}

// All ranks have the same counts now, and go on with the same op; who expects others of somebody fails it everywhere.
void Communicator::exchange_over(Op& op) {
  exchange_open_ = false;
  Submission next{op.handle, op.exchange->next, op.completion, op.submitted};
  op.completion = nullptr;  // the next op's now
  auto known = std::make_shared<Varying>(*next.spec.varying);
  known->counts = op.exchange->rows;
  known->give.clear();
  const size_t n = next.spec.ranks;
  uint64_t most = 0;
  for (uint64_t& count : known->counts) {
    if (count > kMaxCount / (n * n)) {
      next.refused = Status(Code::kMismatch, "a rank gave a count over the limit of 2^40 elements for all blocks");
      count = 0;
    }
    most = std::max(most, count);
  }
  for (size_t r = 0; r < n; ++r) {
    const uint64_t given = op.exchange->rows[r * n + known->rank];
    if (given == known->expect[r] || !next.refused.is_ok()) continue;
    next.refused = Status(Code::kMismatch, "rank " + std::to_string(r) + " sends " + std::to_string(given) +
                                               " elements to rank " + std::to_string(known->rank) + ", which expects " +
                                               std::to_string(known->expect[r]));
  }
  next.spec.count = most;
  next.spec.varying = std::move(known);
  queue_.push_front(std::move(next));
}

}  // namespace rhz
