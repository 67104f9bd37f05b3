#include "recovery/average/stage_order.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace rhz::recovery {
namespace {

std::string name(uint32_t stage) { return "stage " + std::to_string(stage); }

}  // namespace

Result<std::vector<uint32_t>> stage_order(uint64_t micro_batch, uint32_t stages) {
  if (stages == 0 || stages == 3) {
    return Status(Code::kArgument,
                  std::to_string(stages) +
                      " stages have no first and last pair to swap; take 1, 2, 4 or more");
  }
  std::vector<uint32_t> order(stages);
  std::iota(order.begin(), order.end(), 0u);
  if (micro_batch % 2 == 0 || stages == 1) return order;
  std::swap(order[0], order[1]);
  if (stages > 2) std::swap(order[stages - 2], order[stages - 1]);
  return order;
}

Result<StandIn> stand_in(uint32_t stage, std::span<const uint32_t> lost, uint32_t stages,
                         Schedule schedule, const std::string& next_source) {
  if (stages < 2 || stage >= stages)
    return Status(Code::kArgument,
                  name(stage) + " of " + std::to_string(stages) + " has no neighbours");
  const auto is_lost = [&](uint32_t other) {
    return std::find(lost.begin(), lost.end(), other) != lost.end();
  };
  const auto hopeless = [&](const std::string& why) {
    return Status(Code::kStateLost,
                  why + (next_source.empty() ? "" : "; next source: " + next_source));
  };
  StandIn result;
  const bool first = stage == 0, last = stage == stages - 1;
  result.copy = first || last;
  result.before = first ? 1 : stage - 1;
  result.after = result.copy ? result.before : stage + 1;
  if (result.copy && schedule == Schedule::plain) {
    return hopeless(
        name(stage) +
        " is at the end of the pipeline: only the swapped order of micro-batches teaches " +
        name(result.before) + " its part");
  }
  for (const uint32_t neighbour : {result.before, result.after}) {
    if (is_lost(neighbour))
      return hopeless(name(stage) + " and its neighbour " + name(neighbour) +
                      " are both lost: neither can stand in for the other");
  }
  return result;
}

}  // namespace rhz::recovery
