// What links cost, agreed upon: now and then the ranks of a group tell each other what they measured, by an all-reduce (max) of one row,
// behind which no op begins until it is over.  So all ranks choose an op's algorithm from the same numbers.
//
// Which number is such an op's follows from what all ranks know: the number of the last admit op, with which newcomers begin.
#include <algorithm>

#include "collectives/communicator.h"

namespace rhz {
namespace {
// After so many ops, after twice as many, and so on: what was measured gets better, and what changes is seen again.
constexpr uint64_t kFirst = 8, kFurthest = 1024;
}  // namespace

void Communicator::measure_from(OpSeq base) {
  measure_base_ = base;
  measure_at_ = OpSeq(base.value + kFirst);
}

// Never between a probe and its admit op.
bool Communicator::is_measuring_due() const {
  return next_seq_ == measure_at_ && queue_.front().spec.kind != OpKind::kAdmit;
}

Communicator::Submission Communicator::measurement(Time now) {
  const uint64_t distance = measure_at_.value - measure_base_.value;
  measure_at_.value += std::min(distance, kFurthest);
  measuring_ = true;
  seen_ = own_costs_ ? row_of(seen_by(*own_costs_, view_, rank_)) : CostRow{};
  OpSpec spec;
  spec.kind = OpKind::kMeasure;
  spec.dtype = reduce::Dtype::u64;
  spec.redop = reduce::RedOp::max;
  spec.count = seen_.size();
  spec.send = reinterpret_cast<const std::byte*>(seen_.data());
  spec.recv = reinterpret_cast<std::byte*>(told_.data());
  spec.timeout = queue_.front().spec.timeout;  // the op behind it waits no longer than it would without
  return {next_handle_++, spec, nullptr, now};
}

// What ended it without a result was meant for a program: a time-out, a cancel that came too late for an older op.
void Communicator::measured(const Op& op, const Status& status) {
  measuring_ = false;
  if (!status.is_ok()) {
    if (!over_) carried_ = status;
    return;
  }
  const Costs costs = costs_of(told_);
  if (costs.local.is_known() || costs.remote.is_known()) chooser_.learn(op.seq, costs);
}

Communicator::Forecast Communicator::forecast(uint64_t bytes) const {
  const std::vector<Rank> ring = ring_of(next_seq_);
  Forecast forecast;
  forecast.ns.fill(kNoWay);
  forecast.chosen = chooser_.current(bytes, view_, ring);
  forecast.from = chooser_.knows() ? chooser_.from() : kNoOp;
  if (!chooser_.knows()) return forecast;
  forecast.costs = chooser_.costs();
  const Placement placement = placement_of(view_, ring);
  if (!covers(forecast.costs, placement)) return forecast;
  for (uint32_t a = 1; a < kAlgorithms; ++a)
    forecast.ns[a] = predict(static_cast<Algorithm>(a), bytes, placement, forecast.costs, config_);
  return forecast;
}

}  // namespace rhz
