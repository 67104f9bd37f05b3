#include "collectives/schedule/choose.h"

#include <algorithm>
#include <array>
#include <bit>

#include "collectives/schedule/direct.h"
#include "collectives/schedule/ring.h"
#include "collectives/schedule/tree.h"
#include "runtime/wire/frame.h"

namespace rhz {
namespace {

// From here on fewer messages in a row beat the ring on one host, and the bytes are the same
// (docs/results.md); smaller ops are equal.
constexpr uint64_t kHalvingBytes = 512u << 10;

// No model is exact: what the rule takes, which was measured, stays unless another one should be
// faster by more than this part of its time.
constexpr uint64_t kDoubt = 8;

constexpr std::array<const char*, kAlgorithms> kNames{"auto",    "ring", "direct",      "doubling",
                                                      "halving", "tree", "hierarchical"};

// The ranks of each host, hosts in the order in which the ring meets them.
std::vector<std::vector<Rank>> by_host(const View& view, const std::vector<Rank>& ring) {
  std::vector<std::vector<Rank>> hosts;
  for (Rank rank : ring) {
    const uint64_t host = view.members[rank.value].host;
    auto same = [&](const std::vector<Rank>& other) {
      return view.members[other.front().value].host == host;
    };
    const auto at = std::find_if(hosts.begin(), hosts.end(), same);
    if (at == hosts.end())
      hosts.push_back({rank});
    else
      at->push_back(rank);
  }
  return hosts;
}

size_t class_of(uint64_t bytes) { return bytes == 0 ? 0 : static_cast<size_t>(std::bit_width(bytes - 1)); }

}  // namespace

const char* name(Algorithm algorithm) { return kNames[static_cast<size_t>(algorithm)]; }

std::optional<Algorithm> algorithm_named(std::string_view name) {
  for (uint32_t i = 0; i < kAlgorithms; ++i)
    if (name == kNames[i]) return static_cast<Algorithm>(i);
  return std::nullopt;
}

Algorithm choose_by_rule(uint64_t bytes, const View& view, const std::vector<Rank>& ring) {
  if (ring.size() == 1) return Algorithm::kRing;
  if (bytes <= wire::kEagerBytes)  // latency is all that counts
    return ring.size() <= 3 ? Algorithm::kDirect : Algorithm::kDoubling;
  const size_t hosts = by_host(view, ring).size();
  if (hosts > 1 && hosts < ring.size()) return Algorithm::kHierarchical;
  if (hosts == 1 && ring.size() >= 4 && std::has_single_bit(ring.size()) && bytes >= kHalvingBytes)
    return Algorithm::kHalving;
  return Algorithm::kRing;
}

Algorithm choose_by_cost(uint64_t bytes, const View& view, const std::vector<Rank>& ring,
                         const Costs& costs, const RunConfig& config) {
  const Algorithm usual = choose_by_rule(bytes, view, ring);
  const Placement placement = placement_of(view, ring);
  if (ring.size() == 1 || !covers(costs, placement)) return usual;
  Algorithm best = Algorithm::kRing;
  uint64_t least = kNoWay;
  for (uint32_t a = 1; a < kAlgorithms; ++a) {
    const auto algorithm = static_cast<Algorithm>(a);
    const uint64_t ns = predict(algorithm, bytes, placement, costs, config);
    if (ns >= least) continue;
    best = algorithm;
    least = ns;
  }
  const uint64_t ns = predict(usual, bytes, placement, costs, config);
  return ns - least <= least / kDoubt ? usual : best;
}

Schedule make_allreduce(Algorithm algorithm, const View& view, const std::vector<Rank>& ring,
                        Rank self) {
  switch (algorithm) {
    case Algorithm::kDirect: return make_direct_allreduce(ring, self);
    case Algorithm::kDoubling: return make_doubling_allreduce(ring, self);
    case Algorithm::kHalving: return make_halving_allreduce(ring, self);
    case Algorithm::kTree: return make_tree_allreduce(ring, self);
    case Algorithm::kHierarchical: return make_hierarchical_allreduce(by_host(view, ring), self);
    case Algorithm::kAuto:
    case Algorithm::kRing: break;
  }
  return make_ring_allreduce(ring, self);
}

void Chooser::install(const RunConfig& config, const std::vector<OpSeq>& first_op) {
  config_ = config;
  newest_ = *std::max_element(first_op.begin(), first_op.end());
  chosen_.fill(Algorithm::kAuto);
}

void Chooser::learn(OpSeq from, const Costs& costs) {
  from_ = from;
  costs_ = costs;
  chosen_.fill(Algorithm::kAuto);
}

Algorithm Chooser::choose(Algorithm wanted, uint64_t bytes, const View& view,
                          const std::vector<Rank>& ring, OpSeq seq) {
  if (ring.size() == 1) return Algorithm::kRing;
  if (wanted != Algorithm::kAuto) return wanted;
  if (!knows() || seq <= from_) return choose_by_rule(bytes, view, ring);
  Algorithm& chosen = chosen_[class_of(bytes)];
  if (chosen == Algorithm::kAuto) chosen = current(bytes, view, ring);
  return chosen;
}

Algorithm Chooser::current(uint64_t bytes, const View& view, const std::vector<Rank>& ring) const {
  if (!knows()) return choose_by_rule(bytes, view, ring);
  return choose_by_cost(uint64_t{1} << std::min<size_t>(class_of(bytes), 62), view, ring, costs_, config_);
}

}  // namespace rhz
