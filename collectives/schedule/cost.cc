#include "collectives/schedule/cost.h"

#include <algorithm>
#include <bit>

#include "collectives/schedule/layout.h"

namespace rhz {
namespace {

// Direct exchange and doubling keep a copy of the input for each op: beyond this that is memory nobody asked for.
constexpr uint64_t kMostShared = 1u << 20;
// A rank works so long for a small message while others are on their way (the gap g of LogP); never more than half a latency.
constexpr uint64_t kGapNs = 2000;
constexpr uint64_t kEven = 16;  // Costs::load of a host with a core for each rank

constexpr uint64_t kMost = ~uint64_t{0} >> 1;  // sums of two do not overflow

uint64_t times(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? kMost : std::min(product, kMost);
}
uint64_t plus(uint64_t a, uint64_t b) { return std::min(a + b, kMost); }
uint64_t picoseconds(uint64_t bytes, uint64_t ps_per_kib) {
  return plus(times(bytes >> 10, ps_per_kib), times(bytes & 1023, ps_per_kib) >> 10);
}

// Adds up what one op costs.  Chunks overlap, so that of all links the one with the most to carry counts.
class Bill {
 public:
  Bill(uint64_t bytes, const Placement& placement, const Costs& costs, const RunConfig& config)
      : bytes_(bytes),
        layout_(make_layout(bytes, 1, config)),
        where_(placement),
        costs_(costs),
        local_(costs.local.is_known() ? costs.local : costs.remote),
        out_(placement.size()),
        in_(placement.size()),
        host_out_(placement.hosts()),
        host_in_(placement.hosts()) {}

  uint32_t ranks() const { return where_.size(); }
  uint64_t bytes() const { return bytes_; }
  // Of the op, in whole chunks: what `parts` of `of` ranks have in their care.
  uint64_t share(uint64_t parts, uint64_t of) const {
    const uint64_t chunks = (layout_.chunks * parts + of - 1) / of;
    return std::min(bytes_, times(chunks, layout_.chunk_elements));
  }
  uint64_t chunk() const { return std::min(bytes_, layout_.chunk_elements); }

  void send(uint32_t from, uint32_t to, uint64_t bytes) {
    const bool far = where_.host[from] != where_.host[to];
    (far ? host_out_[where_.host[from]] : out_[from]) += bytes;
    (far ? host_in_[where_.host[to]] : in_[to]) += bytes;
  }
  void exchange(uint32_t a, uint32_t b, uint64_t bytes) {
    send(a, b, bytes);
    send(b, a, bytes);
  }
  void wait(uint64_t ns, uint64_t repeats = 1) { waited_ns_ = plus(waited_ns_, times(ns, repeats)); }
  void reduce(uint64_t bytes) { reduced_ = plus(reduced_, bytes); }

  // Ranks that share a core wait for each other's turns.
  uint64_t loaded(uint64_t cost) const { return times(cost, costs_.load) / kEven; }
  uint64_t latency(uint32_t a, uint32_t b) const {
    return where_.host[a] != where_.host[b] ? costs_.remote.latency_ns : loaded(local_.latency_ns);
  }
  // Of one more message at the same time.  Where ranks share cores, nothing is at the same time.
  uint64_t gap(uint64_t latency) const {
    return costs_.load > kEven ? latency : std::min(latency / 2, kGapNs);
  }
  const Placement& where() const { return where_; }

  uint64_t nanoseconds() const {
    const auto most = [](const std::vector<uint64_t>& loads) {
      return loads.empty() ? 0 : *std::max_element(loads.begin(), loads.end());
    };
    const uint64_t within = picoseconds(std::max(most(out_), most(in_)), loaded(local_.ps_per_kib));
    const uint64_t between = picoseconds(std::max(most(host_out_), most(host_in_)), costs_.remote.ps_per_kib);
    const uint64_t sums = picoseconds(reduced_, loaded(costs_.reduce_ps_per_kib));
    return plus(waited_ns_, plus(std::max(within, between), sums) / 1000);
  }

 private:
  const uint64_t bytes_;
  const Layout layout_;
  const Placement& where_;
  const Costs& costs_;
  const LinkCost local_;
  std::vector<uint64_t> out_, in_;            // bytes of each rank within its host
  std::vector<uint64_t> host_out_, host_in_;  // … of each host to others: its ranks share one link
  uint64_t waited_ns_ = 0, reduced_ = 0;
};

// 2 (n − 1) steps, of which each passes one link of the ring.
void ring(Bill& bill) {
  const uint32_t n = bill.ranks();
  const uint64_t share = bill.share(1, n);
  uint64_t round_trip = 0;
  for (uint32_t i = 0; i < n; ++i) {
    bill.send(i, (i + 1) % n, 2 * (n - 1) * share);
    round_trip = plus(round_trip, bill.latency(i, (i + 1) % n));
  }
  bill.wait(times(round_trip, 2 * (n - 1)) / n);
  bill.reduce((n - 1) * share);
}

// Everybody sends everything to everybody.
void direct(Bill& bill) {
  const Placement& where = bill.where();
  const uint32_t n = bill.ranks();
  uint64_t slowest = 0;
  for (uint32_t i = 0; i < n; ++i) {
    for (uint32_t step = 1; step < n; ++step) bill.send(i, (i + step) % n, bill.bytes());
    slowest = std::max(slowest, bill.latency(i, (i + 1) % n));
  }
  for (uint32_t i = 1; where.hosts() > 1 && i < n; ++i) slowest = std::max(slowest, bill.latency(0, i));
  bill.wait(slowest);
  bill.wait(bill.gap(slowest), n - 2);
  bill.reduce((n - 1) * bill.bytes());
}

// Ranks beyond a power of two hand their input to one of the others, and get the result from it.
uint32_t pair_up(Bill& bill) {
  const uint32_t n = bill.ranks(), core = std::bit_floor(n);
  uint64_t slowest = 0;
  for (uint32_t at = core; at < n; ++at) {
    bill.exchange(at, at - core, bill.bytes());
    slowest = std::max(slowest, bill.latency(at, at - core));
  }
  bill.wait(slowest, 2);
  if (core < n) bill.reduce(bill.bytes());
  return core;
}

void doubling(Bill& bill) {
  const uint32_t core = pair_up(bill);
  for (uint32_t distance = 1; distance < core; distance *= 2) {
    uint64_t slowest = 0;
    for (uint32_t at = 0; at < core; ++at) {
      bill.send(at, at ^ distance, bill.bytes());
      slowest = std::max(slowest, bill.latency(at, at ^ distance));
    }
    bill.wait(slowest);
    bill.reduce(bill.bytes());
  }
}

// A partner at distance d finishes d of all chunks: they go there, and their sums come back.
void halving(Bill& bill) {
  const uint32_t core = pair_up(bill);
  for (uint32_t distance = 1; distance < core; distance *= 2) {
    const uint64_t share = bill.share(distance, core);
    uint64_t slowest = 0;
    for (uint32_t at = 0; at < core; ++at) {
      bill.send(at, at ^ distance, 2 * share);
      slowest = std::max(slowest, bill.latency(at, at ^ distance));
    }
    bill.wait(slowest, 2);
    bill.reduce(share);
  }
}

// Half of the chunks go through a heap, the others through the same heap from the other end.
void tree(Bill& bill) {
  const uint32_t n = bill.ranks();
  const uint64_t half = bill.share(1, 2);
  uint64_t slowest = 0;
  for (uint32_t child = 1; child < n; ++child) {
    const uint32_t parent = (child - 1) / 2;
    bill.exchange(child, parent, half);
    bill.exchange(n - 1 - child, n - 1 - parent, half);
    slowest = std::max({slowest, bill.latency(child, parent), bill.latency(n - 1 - child, n - 1 - parent)});
  }
  const auto levels = static_cast<uint32_t>(std::bit_width(n) - 1);
  bill.wait(slowest, 2 * levels);
  if (n > 2) bill.wait(bill.gap(slowest), 2 * levels);  // two children
  bill.reduce(2 * half);
}

// The gateways of a host take turns: each rank sends all but its own turns to the next one, and gets the sums of these.
void hierarchical(Bill& bill) {
  const Placement& where = bill.where();
  const uint32_t hosts = where.hosts();
  const uint32_t most = *std::max_element(where.ranks.begin(), where.ranks.end());
  std::vector<std::vector<uint32_t>> of(hosts);
  for (uint32_t at = 0; at < bill.ranks(); ++at) of[where.host[at]].push_back(at);
  const uint64_t across = 2 * (hosts - 1) * bill.share(1, hosts);
  for (uint32_t h = 0; h < hosts; ++h) {
    const std::vector<uint32_t>& ranks = of[h];
    const auto m = static_cast<uint32_t>(ranks.size());
    for (uint32_t i = 0; m > 1 && i < m; ++i) bill.exchange(ranks[i], ranks[(i + 1) % m], bill.share(m - 1, m));
    if (hosts > 1) bill.send(ranks.front(), of[(h + 1) % hosts].front(), across);
  }
  const std::vector<uint32_t>& largest = of[static_cast<size_t>(
      std::max_element(where.ranks.begin(), where.ranks.end()) - where.ranks.begin())];
  if (most > 1) bill.wait(bill.latency(largest[0], largest[1]), 2 * (most - 1));
  if (hosts > 1) bill.wait(bill.latency(of[0][0], of[1][0]), 2 * (hosts - 1));
  bill.reduce(bill.share(most - 1, most) + bill.share(hosts - 1, hosts * most));
}

}  // namespace

Costs seen_by(const OwnCosts& own, const View& view, Rank self) {
  Costs costs;
  const uint64_t here = view.members[self.value].host;
  uint64_t ranks = 0;
  for (const MemberInfo& member : view.members) {
    ranks += member.host == here;
    const auto link = own.links.find(member.id);
    if (link == own.links.end()) continue;
    LinkCost& of = member.host == here ? costs.local : costs.remote;
    of = worse(of, link->second);
  }
  costs.reduce_ps_per_kib = own.reduce_ps_per_kib;
  costs.load = std::max(kEven, kEven * ranks / std::max(own.cores, 1u));
  return costs;
}

CostRow row_of(const Costs& costs) {
  return {costs.local.latency_ns,  costs.local.ps_per_kib,  costs.remote.latency_ns,
          costs.remote.ps_per_kib, costs.reduce_ps_per_kib, costs.load};
}

Costs costs_of(const CostRow& row) {
  const auto link = [](uint64_t latency_ns, uint64_t ps_per_kib) {
    return LinkCost{std::min(latency_ns, kMostLatencyNs), std::min(ps_per_kib, kMostPsPerKib)};
  };
  return {link(row[0], row[1]), link(row[2], row[3]), std::min(row[4], kMostPsPerKib), std::max(row[5], kEven)};
}

Placement placement_of(const View& view, const std::vector<Rank>& ring) {
  Placement placement;
  std::vector<uint64_t> hosts;
  for (Rank rank : ring) {
    const uint64_t host = view.members[rank.value].host;
    const auto at = static_cast<size_t>(std::find(hosts.begin(), hosts.end(), host) - hosts.begin());
    if (at == hosts.size()) {
      hosts.push_back(host);
      placement.ranks.push_back(0);
    }
    placement.host.push_back(static_cast<uint32_t>(at));
    ++placement.ranks[at];
  }
  return placement;
}

bool covers(const Costs& costs, const Placement& placement) {
  return costs.remote.is_known() || (costs.local.is_known() && placement.hosts() == 1);
}

uint64_t predict(Algorithm algorithm, uint64_t bytes, const Placement& placement, const Costs& costs,
                 const RunConfig& config) {
  if (placement.size() < 2) return 0;
  Bill bill(bytes, placement, costs, config);
  const bool copies = algorithm == Algorithm::kDirect || algorithm == Algorithm::kDoubling;
  if (copies && bytes > kMostShared) return kNoWay;
  switch (algorithm) {
    case Algorithm::kRing: ring(bill); break;
    case Algorithm::kDirect: direct(bill); break;
    case Algorithm::kDoubling: doubling(bill); break;
    case Algorithm::kHalving: halving(bill); break;
    case Algorithm::kTree: tree(bill); break;
    case Algorithm::kHierarchical: hierarchical(bill); break;
    case Algorithm::kAuto: return kNoWay;
  }
  return bill.nanoseconds();
}

}  // namespace rhz
