#include "collectives/schedule/ring.h"

#include <algorithm>

#include "runtime/base/assert.h"

namespace rhz {

uint32_t position_in(const std::vector<Rank>& ranks, Rank self) {
  const auto at = std::find(ranks.begin(), ranks.end(), self);
  RHZ_ASSERT("schedule", at != ranks.end());
  return static_cast<uint32_t>(at - ranks.begin());
}

Schedule make_ring_allreduce(const std::vector<Rank>& ring, Rank self) {
  const auto n = static_cast<uint32_t>(ring.size());
  if (n == 1) return {{{{Move::kOwn}, {Move::kFinal}}}};
  const uint32_t at = position_in(ring, self);
  const Rank previous = ring[(at + n - 1) % n], next = ring[(at + 1) % n];
  Schedule schedule;
  for (uint32_t chunk = 0; chunk < n; ++chunk) {
    const uint32_t hop = (at + n - chunk) % n;  // place of this rank on the chunk's way
    const bool owner = hop == n - 1;
    Program program;
    if (hop > 0) program.push_back({Move::kFold, previous});
    program.push_back({Move::kOwn});
    program.push_back(owner ? Step{Move::kFinal} : Step{Move::kPartial, next});
    if (!owner) program.push_back({Move::kReceive, previous});
    if (hop != n - 2) program.push_back({Move::kSend, next});  // that one's next is the owner
    schedule.programs.push_back(std::move(program));
  }
  return schedule;
}

}  // namespace rhz
