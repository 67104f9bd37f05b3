#include "collectives/schedule/tree.h"

#include <algorithm>
#include <bit>

#include "collectives/schedule/ring.h"
#include "runtime/base/assert.h"

namespace rhz {
namespace {

struct Place {            // of one rank in a tree
  Rank parent = kNoRank;  // kNoRank: the root
  std::vector<Rank> children;
};

// Folds the children in their order; the final value goes down to them the other way round, to the
// deepest subtree first.
Program program_of(const Place& place) {
  Program program{{Move::kOwn}};
  for (Rank child : place.children) program.push_back({Move::kFold, child});
  if (place.parent == kNoRank) {
    program.push_back({Move::kFinal});
  } else {
    program.push_back({Move::kPartial, place.parent});
    program.push_back({Move::kReceive, place.parent});
  }
  for (auto child = place.children.rbegin(); child != place.children.rend(); ++child)
    program.push_back({Move::kSend, *child});
  return program;
}

// Of position `at` of a heap: inner positions come first, leaves last.
Place heap_place(const std::vector<Rank>& ranks, uint32_t at) {
  Place place;
  if (at > 0) place.parent = ranks[(at - 1) / 2];
  for (uint32_t child : {2 * at + 1, 2 * at + 2})
    if (child < ranks.size()) place.children.push_back(ranks[child]);
  return place;
}

// Of position `at`, in the tree of the chunks that position `owner` finishes.
Place binomial_place(const std::vector<Rank>& ranks, uint32_t at, uint32_t owner) {
  const auto n = static_cast<uint32_t>(ranks.size());
  const uint32_t core = std::bit_floor(n);
  if (at >= core) return {ranks[at - core], {}};
  Place place;
  if (at + core < n) place.children.push_back(ranks[at + core]);
  const uint32_t distance =
      at ^ owner;  // one bit for each round in which the two are on different sides
  const uint32_t last_round = std::bit_floor(distance);
  if (distance != 0) place.parent = ranks[at ^ last_round];
  for (uint32_t round = core / 2; round > last_round; round /= 2)
    place.children.push_back(ranks[at ^ round]);
  return place;
}

// The chain of a host for one chunk: its last rank is the one that stands in the ring of hosts.
std::vector<Rank> chain_of(const std::vector<Rank>& host, uint32_t turn) {
  std::vector<Rank> chain = host;
  std::rotate(chain.begin(), chain.begin() + (turn + 1) % chain.size(), chain.end());
  return chain;
}

Program hierarchical_program(const std::vector<std::vector<Rank>>& hosts, Rank self, uint32_t turn,
                             uint32_t first_host) {
  const auto n = static_cast<uint32_t>(hosts.size());
  uint32_t mine = 0;
  while (std::find(hosts[mine].begin(), hosts[mine].end(), self) == hosts[mine].end()) ++mine;
  const std::vector<Rank> chain = chain_of(hosts[mine], turn);
  const uint32_t at = position_in(chain, self);
  Program program;
  if (at > 0) program.push_back({Move::kFold, chain[at - 1]});
  program.push_back({Move::kOwn});
  if (at + 1 < chain.size()) {
    program.push_back({Move::kPartial, chain[at + 1]});
    program.push_back({Move::kReceive, chain[at + 1]});
  } else {
    auto gateway = [&](uint32_t host) { return chain_of(hosts[host % n], turn).back(); };
    const uint32_t hop = (mine + n - first_host) % n;
    const bool owner = hop == n - 1;
    if (hop > 0) program.push_back({Move::kFold, gateway(mine + n - 1)});
    program.push_back(owner ? Step{Move::kFinal} : Step{Move::kPartial, gateway(mine + 1)});
    if (!owner) program.push_back({Move::kReceive, gateway(mine + n - 1)});
    if (n > 1 && hop != (n + n - 2) % n) program.push_back({Move::kSend, gateway(mine + 1)});
  }
  if (at > 0) program.push_back({Move::kSend, chain[at - 1]});
  return program;
}

}  // namespace

Schedule make_tree_allreduce(const std::vector<Rank>& ranks, Rank self) {
  const std::vector<Rank> back(ranks.rbegin(), ranks.rend());
  return {{program_of(heap_place(ranks, position_in(ranks, self))),
           program_of(heap_place(back, position_in(back, self)))}};
}

Schedule make_halving_allreduce(const std::vector<Rank>& ranks, Rank self) {
  const uint32_t core = std::bit_floor(static_cast<uint32_t>(ranks.size()));
  const uint32_t at = position_in(ranks, self);
  Schedule schedule;
  for (uint32_t owner = 0; owner < core; ++owner)
    schedule.programs.push_back(program_of(binomial_place(ranks, at, owner)));
  return schedule;
}

Schedule make_hierarchical_allreduce(const std::vector<std::vector<Rank>>& hosts, Rank self) {
  size_t largest = 1;
  for (const auto& host : hosts) largest = std::max(largest, host.size());
  Schedule schedule;
  for (uint32_t first = 0; first < hosts.size(); ++first)
    for (uint32_t turn = 0; turn < largest; ++turn)
      schedule.programs.push_back(hierarchical_program(hosts, self, turn, first));
  return schedule;
}

}  // namespace rhz
