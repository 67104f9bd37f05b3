#include "collectives/schedule/direct.h"

#include <bit>

#include "collectives/schedule/ring.h"

namespace rhz {

Schedule make_direct_allreduce(const std::vector<Rank>& ranks, Rank self) {
  Program program;
  for (Rank rank : ranks)
    if (rank != self) program.push_back({Move::kShare, rank});
  for (Rank rank : ranks)
    program.push_back(rank == self ? Step{Move::kOwn} : Step{Move::kFold, rank});
  program.push_back({Move::kFinal});
  return {{program}};
}

Schedule make_doubling_allreduce(const std::vector<Rank>& ranks, Rank self) {
  const auto n = static_cast<uint32_t>(ranks.size());
  const uint32_t core = std::bit_floor(n), extra = n - core, at = position_in(ranks, self);
  if (at >= core) {
    const Rank partner = ranks[at - core];
    return {{{{Move::kShare, partner}, {Move::kReceive, partner}}}};
  }
  Program program;
  // The first message is the bare input, unless an extra one's is in it.
  const bool helps = at < extra;
  if (helps) program.insert(program.end(), {{Move::kOwn}, {Move::kFold, ranks[at + core]}});
  for (uint32_t distance = 1; distance < core; distance *= 2) {
    const Rank partner = ranks[at ^ distance];
    const bool bare = distance == 1 && !helps;
    program.push_back({bare ? Move::kShare : Move::kPartial, partner});
    if (bare) program.push_back({Move::kOwn});
    program.push_back({Move::kFold, partner});
  }
  if (program.empty()) program.push_back({Move::kOwn});
  program.push_back({Move::kFinal});
  if (helps) program.push_back({Move::kSend, ranks[at + core]});
  return {{program}};
}

}  // namespace rhz
