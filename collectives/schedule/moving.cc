#include "collectives/schedule/moving.h"

#include <algorithm>
#include <iterator>

#include "collectives/schedule/ring.h"

namespace rhz {
namespace {
bool has(const std::vector<Rank>& ranks, Rank rank) {
  return std::find(ranks.begin(), ranks.end(), rank) != ranks.end();
}
}  // namespace

Program make_carry(const std::vector<Rank>& ring, Rank self, const std::vector<Rank>& holders,
                   const std::vector<Rank>& needers, bool direct) {
  if (holders.empty()) return {};
  if (direct && needers.size() == 1) {
    const Rank from = holders.front(), to = needers.front();
    if (has(holders, to)) return {};
    if (self == to) return {{Move::kReceive, from}};
    if (self == from) return {{Move::kSend, to}};
    return {};
  }
  const auto n = static_cast<uint32_t>(ring.size());
  const uint32_t at = position_in(ring, self);
  // Whether the value comes past this position: somebody who lacks it stands here or before the
  // next holder.
  auto passes = [&](uint32_t position) {
    for (uint32_t step = 0; step < n; ++step) {
      const Rank rank = ring[(position + step) % n];
      if (has(holders, rank)) return false;
      if (has(needers, rank)) return true;
    }
    return false;
  };
  Program program;
  if (passes(at)) program.push_back({Move::kReceive, ring[(at + n - 1) % n]});
  if (passes(at + 1)) program.push_back({Move::kSend, ring[(at + 1) % n]});
  return program;
}

Program make_resume(const std::vector<Rank>& ring, Rank self, const std::vector<Rank>& way) {
  Program program;
  const auto at = std::find(way.begin(), way.end(), self);
  if (at != way.end()) {
    if (at != way.begin()) program.push_back({Move::kFold, *std::prev(at)});
    program.push_back({Move::kOwn});
    const auto next = std::next(at);
    program.push_back(next == way.end() ? Step{Move::kFinal} : Step{Move::kPartial, *next});
  }
  const Program round = make_carry(ring, self, {way.back()}, ring, false);
  program.insert(program.end(), round.begin(), round.end());
  return program;
}

Program make_chain(const std::vector<Rank>& ring, Rank self, Rank target) {
  const auto n = static_cast<uint32_t>(ring.size());
  if (n == 1) return {{Move::kOwn}, {Move::kFinal}};
  const uint32_t at = position_in(ring, self);
  const uint32_t hop = (at + 2 * n - position_in(ring, target) - 1) % n;
  const Rank previous = ring[(at + n - 1) % n], next = ring[(at + 1) % n];
  Program program;
  if (hop > 0) program.push_back({Move::kFold, previous});
  program.push_back({Move::kOwn});
  if (hop == n - 1)
    return program.push_back({Move::kFinal}), program.push_back({Move::kTell, next}), program;
  program.push_back({Move::kPartial, next});
  if (hop == 0) program.push_back({Move::kHear, previous});
  return program;
}

}  // namespace rhz
