#include "recovery/parity/placement.h"

#include <algorithm>
#include <functional>
#include <map>
#include <tuple>
#include <utility>

namespace rhz::recovery {
namespace {

constexpr uint32_t kNobody = UINT32_MAX;

// For each host the number of its rack.
std::vector<uint32_t> racks_of(std::span<const Host> hosts) {
  std::map<std::string, uint32_t> labels;
  std::vector<uint32_t> racks(hosts.size());
  for (uint32_t i = 0; i < hosts.size(); ++i)
    racks[i] = hosts[i].rack.empty() ? i : labels.try_emplace(hosts[i].rack, i).first->second;
  return racks;
}

Status check(std::span<const Host> hosts, std::span<const uint32_t> racks,
             const ErasureCode& code) {
  std::vector<bool> alive(hosts.size(), false);
  size_t hosts_alive = 0;
  for (size_t i = 0; i < hosts.size(); ++i) {
    if (!hosts[i].alive) continue;
    ++hosts_alive;
    alive[racks[i]] = true;
  }
  const auto domains = static_cast<size_t>(std::count(alive.begin(), alive.end(), true));
  const uint32_t needed =
      (code.shards() + code.parity_shards() - 1) / code.parity_shards();  // m shards each
  if (domains >= needed) return Status::ok();
  return {Code::kArgument, std::to_string(code.data_shards()) + " + " +
                               std::to_string(code.parity_shards()) + " shards, at most " +
                               std::to_string(code.parity_shards()) +
                               " of a stripe in one failure domain, need " +
                               std::to_string(needed) + " domains; there are " +
                               std::to_string(domains) + " (" + std::to_string(hosts_alive) +
                               " hosts); add hosts in other racks, or use fewer data shards"};
}

class Placer {
 public:
  Placer(std::span<const Host> hosts, std::vector<uint32_t> racks, uint32_t most)
      : hosts_(hosts), racks_(std::move(racks)), most_(most), load_(hosts.size(), 0) {}

  void count(uint32_t host) { ++load_[host]; }

  // Gives every shard that nobody holds to somebody; false where the living holders already break
  // the rule (racks were relabelled, say), so that there may be no place left.
  bool fill(std::vector<uint32_t>& holders) {
    std::vector<uint32_t> on_host(hosts_.size(), 0), in_rack(hosts_.size(), 0);
    for (const uint32_t holder : holders) {
      if (holder == kNobody) continue;
      ++on_host[holder];
      ++in_rack[racks_[holder]];
    }
    for (uint32_t& holder : holders) {
      if (holder != kNobody) continue;
      holder = best(on_host, in_rack);
      if (holder == kNobody) return false;
      ++load_[holder];
      ++on_host[holder];
      ++in_rack[racks_[holder]];
    }
    return true;
  }

 private:
  uint32_t best(std::span<const uint32_t> on_host, std::span<const uint32_t> in_rack) const {
    const auto cost = [&](uint32_t i) {
      return std::tuple(on_host[i], in_rack[racks_[i]], load_[i], i);
    };
    uint32_t best = kNobody;
    for (uint32_t i = 0; i < hosts_.size(); ++i) {
      if (!hosts_[i].alive || in_rack[racks_[i]] >= most_) continue;
      if (best == kNobody || cost(i) < cost(best)) best = i;
    }
    return best;
  }

  std::span<const Host> hosts_;
  std::vector<uint32_t> racks_;
  uint32_t most_;               // shards of a stripe in a domain
  std::vector<uint64_t> load_;  // shards that a host holds, of all stripes
};

// How many of the domains with so many shards each may fail before more than `spare` shards are
// lost: the largest ones first.
uint32_t failures(std::vector<uint32_t> shards, uint32_t spare) {
  std::sort(shards.begin(), shards.end(), std::greater<>());
  uint32_t failed = 0;
  for (const uint32_t count : shards) {
    if (count == 0 || count > spare) break;
    spare -= count;
    ++failed;
  }
  return failed;
}

}  // namespace

Result<Placement> place(std::span<const Host> hosts, const ErasureCode& code, uint32_t stripes) {
  Placement nothing;
  nothing.holders.assign(stripes, std::vector<uint32_t>(code.shards(), kNobody));
  return place_again(hosts, code, nothing);
}

Result<Placement> place_again(std::span<const Host> hosts, const ErasureCode& code,
                              const Placement& placement) {
  const std::vector<uint32_t> racks = racks_of(hosts);
  if (Status status = check(hosts, racks, code); !status) return status;
  Placer placer(hosts, racks, code.parity_shards());
  Placement again = placement;
  for (auto& holders : again.holders) {
    if (holders.size() != code.shards())
      return Status(Code::kArgument, "the placement is of stripes with another number of shards");
    for (uint32_t& holder : holders) {
      if (holder >= hosts.size() || !hosts[holder].alive) holder = kNobody;
      if (holder != kNobody) placer.count(holder);
    }
  }
  for (auto& holders : again.holders) {
    if (!placer.fill(holders))
      return Status(Code::kArgument, "some failure domain holds more than " +
                                         std::to_string(code.parity_shards()) +
                                         " shards of a stripe already: place all shards anew");
  }
  return again;
}

Standing standing(std::span<const Host> hosts, const ErasureCode& code,
                  std::span<const uint32_t> holders, std::span<const uint32_t> corrupt) {
  const std::vector<uint32_t> racks = racks_of(hosts);
  std::vector<uint32_t> on_host(hosts.size(), 0), in_rack(hosts.size(), 0);
  Standing result;
  for (uint32_t shard = 0; shard < holders.size(); ++shard) {
    const uint32_t holder = holders[shard];
    const bool refused = std::find(corrupt.begin(), corrupt.end(), shard) != corrupt.end();
    if (refused || holder >= hosts.size() || !hosts[holder].alive) {
      ++result.lost;
      continue;
    }
    ++on_host[holder];
    ++in_rack[racks[holder]];
  }
  result.recoverable = result.lost <= code.parity_shards();
  if (!result.recoverable) return result;
  const uint32_t spare = code.parity_shards() - result.lost;
  result.hosts = failures(on_host, spare);
  result.racks = failures(in_rack, spare);
  return result;
}

}  // namespace rhz::recovery
