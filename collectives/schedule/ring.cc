#include "collectives/schedule/ring.h"

#include <algorithm>

#include "runtime/base/assert.h"

namespace rhz {
namespace {
uint32_t position_of(const std::vector<Rank>& ring, Rank self) {
  const auto at = std::find(ring.begin(), ring.end(), self);
  RHZ_ASSERT("schedule", at != ring.end());
  return static_cast<uint32_t>(at - ring.begin());
}
}  // namespace

Schedule make_ring_allreduce(const std::vector<Rank>& ring, Rank self) {
  const auto n = static_cast<uint32_t>(ring.size());
  const uint32_t at = position_of(ring, self);
  const Rank previous = ring[(at + n - 1) % n], next = ring[(at + 1) % n];
  Schedule schedule;
  for (uint32_t chunk = 0; chunk < n; ++chunk) {
    const uint32_t hop = (at + n - chunk % n) % n;  // place of this rank on the chunk's way
    const bool last_to_receive = hop == n - 2;
    const Rank onward = last_to_receive ? kNoRank : next;
    Program program;
    if (n == 1) {
      program = {{Move::kSolo, kNoRank, kNoRank}};
    } else if (hop == 0) {
      program = {{Move::kContribute, kNoRank, next}, {Move::kPass, previous, onward}};
    } else if (hop < n - 1) {
      program = {{Move::kCombine, previous, next}, {Move::kPass, previous, onward}};
    } else {
      program = {{Move::kFinish, previous, next}};
    }
    schedule.programs.push_back(std::move(program));
  }
  return schedule;
}

Program make_spread(const std::vector<Rank>& ring, Rank self, const std::vector<Rank>& holders) {
  const auto n = static_cast<uint32_t>(ring.size());
  const uint32_t at = position_of(ring, self);
  auto holds = [&](Rank r) {
    return std::find(holders.begin(), holders.end(), r) != holders.end();
  };
  const Rank previous = ring[(at + n - 1) % n], next = ring[(at + 1) % n];
  const Rank onward = holds(next) ? kNoRank : next;
  if (!holds(self)) return {{Move::kPass, previous, onward}};
  if (onward == kNoRank) return {};
  return {{Move::kSend, kNoRank, onward}};
}

}  // namespace rhz
