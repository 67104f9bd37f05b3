// How long an all-reduce should take by each algorithm, from what links cost: the α–β–γ model of Hockney (Parallel Computing 20, 1994)
// as Thakur, Rabenseifner and Gropp apply it to collectives (IJHPCA 19, 2005, sections 4.1 – 4.5), with two kinds of links.
//
//   α  latency of a message       β  time per byte on a link       γ  time per byte reduced
//
// Pure functions in whole numbers: ranks that have the same table predict the same, bit by bit.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "collectives/schedule/algorithm.h"
#include "runtime/agreement/view.h"
#include "runtime/transport/link_cost.h"

namespace rhz {

// What the ranks of a group agree on: the worst of what any of them measured.
struct Costs {
  LinkCost local, remote;          // between ranks of one host, and of two
  uint64_t reduce_ps_per_kib = 0;  // γ
  uint64_t load = 16;              // ranks of a host per core, the most crowded one's, in sixteenths; at least 16
  friend bool operator==(const Costs&, const Costs&) = default;
};

// What one peer measured.
struct OwnCosts {
  std::map<PeerId, LinkCost> links;
  uint64_t reduce_ps_per_kib = 0;
  uint32_t cores = 1;  // of its host, for its ranks
};
// … of the links to other members of the view.
Costs seen_by(const OwnCosts& own, const View& view, Rank self);

// As numbers of which each rank's largest counts.
using CostRow = std::array<uint64_t, 6>;
CostRow row_of(const Costs& costs);
Costs costs_of(const CostRow& row);

// Where the participants stand, by position in the ring.
struct Placement {
  std::vector<uint32_t> host;   // of each: hosts count from 0 in the order in which the ring meets them
  std::vector<uint32_t> ranks;  // of each host
  uint32_t size() const { return static_cast<uint32_t>(host.size()); }
  uint32_t hosts() const { return static_cast<uint32_t>(ranks.size()); }
};
Placement placement_of(const View& view, const std::vector<Rank>& ring);

// Every kind of link that these participants need was measured.  Of those within a host, those between hosts serve as a bound.
bool covers(const Costs& costs, const Placement& placement);

// Nanoseconds; kNoWay: not to be taken for so many bytes.  `algorithm` is a concrete one, and covers() holds.
inline constexpr uint64_t kNoWay = ~uint64_t{0};
uint64_t predict(Algorithm algorithm, uint64_t bytes, const Placement& placement, const Costs& costs, const RunConfig& config);

}  // namespace rhz
