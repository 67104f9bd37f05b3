// The faults of the network between the peers, where it is ours.
#include <algorithm>
#include <utility>

#include "api/tools/chaos_run.h"
#include "api/tools/text.h"

namespace rhz::tools {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kNarrowBytesPerS = 125'000;
constexpr uint64_t kFlipNs = 150 * kMs;  // longer than it takes TCP to notice
// The worst of what a peer's packets meet, each way.
constexpr double kRoughDelayMs = 100, kRoughJitterMs = 200, kRoughLoss = 0.05;
// Each that is forged costs a connection, and a new one must not lose its hello more than once (docs/protocol.md, "Time").
constexpr double kDamage = 0.02, kForgery = 0.01;

constexpr uint32_t host_of(uint32_t slot) { return slot + 1; }

// Whether somebody may lose its membership by it.
bool may_evict(FaultKind kind) {
  return kind == FaultKind::kPartition || kind == FaultKind::kOneWay || kind == FaultKind::kEdge ||
         kind == FaultKind::kFlipFlop || kind == FaultKind::kRough;
}

void cut_off(Weather& weather, const std::vector<uint32_t>& side) {
  for (uint32_t from = 0; from < weather.hosts; ++from)
    for (uint32_t to = 0; to < weather.hosts; ++to) {
      const auto inside = [&](uint32_t host) { return std::find(side.begin(), side.end(), host) != side.end(); };
      weather.link(from, to).cut |= inside(from) != inside(to);
    }
}

// Every link of a host, each way.
template <class Change>
void change_all(Weather& weather, uint32_t host, Change change) {
  for (uint32_t other = 0; other < weather.hosts; ++other) {
    change(weather.link(host, other));
    change(weather.link(other, host));
  }
}

}  // namespace

void ChaosRun::change_weather() {
  Weather weather(options_.lan->hosts());
  const NetworkFault& f = network_;
  std::vector<uint32_t> hosts;
  for (const uint32_t slot : f.victims) hosts.push_back(host_of(slot));
  if (!f.until_ns) return options_.lan->set_weather(std::move(weather));
  switch (f.kind) {
    case FaultKind::kBlip:
    case FaultKind::kPartition: cut_off(weather, hosts); break;
    case FaultKind::kFlipFlop:
      if (f.down) cut_off(weather, hosts);
      break;
    case FaultKind::kCutCoordinator: cut_off(weather, {0}); break;
    case FaultKind::kOneWay:
      for (uint32_t other = 0; other < weather.hosts; ++other)
        (f.strength < 0.5 ? weather.link(other, hosts[0]) : weather.link(hosts[0], other)).cut = true;
      break;
    case FaultKind::kEdge:
      weather.link(hosts[0], hosts[1]).cut = true;
      weather.link(hosts[1], hosts[0]).cut = f.strength < 0.5;
      break;
    case FaultKind::kNarrow: weather.bytes_per_s[hosts[0]] = kNarrowBytesPerS; break;
    case FaultKind::kRough:
      change_all(weather, hosts[0], [&](Link& link) {
        link.delay_ns = static_cast<uint64_t>(kRoughDelayMs * f.strength * kMs);
        link.jitter_ns = static_cast<uint64_t>(kRoughJitterMs * f.strength * kMs);
        link.loss = kRoughLoss * f.strength;
      });
      break;
    case FaultKind::kFlips:
      change_all(weather, hosts[0], [&](Link& link) {
        link.damage = kDamage * f.strength;
        link.forgery = kForgery * f.strength;
      });
      break;
    default: change_all(weather, hosts[0], [](Link& link) { link.reset = true; });  // kReset
  }
  options_.lan->set_weather(std::move(weather));
}

void ChaosRun::strike_network(const Fault& fault) {
  const bool evicts = may_evict(fault.kind);
  if (network_.until_ns || now_ns_ < network_quiet_at_ns_ || (evicts && !is_up_to_date())) return void(++skipped_);
  NetworkFault next{fault.kind, {}, now_ns_ + fault.lasts_ns, fault.lasts_ns, fault.strength};
  if (fault.kind != FaultKind::kCutCoordinator) {
    const bool edge = fault.kind == FaultKind::kEdge;
    const size_t wanted = edge ? 2 : fault.kind == FaultKind::kPartition ? fault.victims : 1;
    for (const uint32_t slot : fault.order)
      if (healthy(peers_[slot])) next.victims.push_back(slot);
    // Outside one has to stay that has the state; of an edge, one end does.
    if (evicts && !edge && !next.victims.empty()) next.victims.pop_back();
    if (next.victims.empty() || (edge && next.victims.size() < wanted)) return void(++skipped_);
    next.victims.resize(std::min(wanted, next.victims.size()));
  }
  std::string whom;
  for (const uint32_t slot : next.victims) {
    Peer& peer = peers_[slot];
    peer.resume_at_ns = next.until_ns;
    if (evicts) {
      peer.excused = true;
      peer.before = peer.member;
    }
    whom += format(" %u", slot);
  }
  if (evicts) struck_at_ns_ = now_ns_;
  views_.struck(std::max<uint32_t>(1, static_cast<uint32_t>(next.victims.size())));
  ++struck_[fault.kind];
  network_ = std::move(next);
  say(format("%s of%s for %.0f ms (%.2f)", std::string(name_of(fault.kind)).c_str(), whom.empty() ? " all" : (" slot" + whom).c_str(),
             static_cast<double>(fault.lasts_ns) / kMs, fault.strength));
  change_weather();
}

// Flips, or heals. 
void ChaosRun::tend_network() {
  if (!network_.until_ns) return;
  if (now_ns_ < network_.until_ns) {
    if (network_.kind != FaultKind::kFlipFlop) return;
    const bool down = (network_.until_ns - now_ns_) / kFlipNs % 2 == 0;
    if (std::exchange(network_.down, down) != down) change_weather();
    return;
  }
  // TCP waits for up to as long as a cut was before it tries again; and then silence has to be noticed.
  network_quiet_at_ns_ = now_ns_ + network_.lasts_ns + 2 * kMs * options_.suspicion_ms;
  for (const uint32_t slot : network_.victims) {
    Peer& peer = peers_[slot];
    peer.resume_at_ns = 0;
    peer.stirred_at_ns = now_ns_;
    if (peer.excused) peer.settled_at_ns = network_quiet_at_ns_;
  }
  network_.until_ns = 0;
  change_weather();
  say("the network is whole again");
}

}  // namespace rhz::tools
