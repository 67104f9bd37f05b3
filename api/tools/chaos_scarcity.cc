// Faults of what a host has: strangers at its ports, files, memory, disk.  One at a time.
#include <algorithm>
#include <filesystem>

#include "api/tools/chaos_run.h"
#include "api/tools/text.h"

namespace rhz::tools {
namespace {

constexpr uint64_t kMs = 1'000'000, kMiB = 1 << 20;
constexpr double kCoordinatorsPart = 0.3;                   // of the faults that strike either
constexpr double kMemoryLeft = 8 * kMiB, kDiskLeft = 1000;  // at most, in bytes
constexpr uint64_t kMostGrowth = 16 * kMiB;                 // of a process, by all strangers
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // memory is the sanitizer's: its amount says nothing, and none
                                   // is an error that it reports
#else
constexpr bool kSanitized = false;
#endif
constexpr uint64_t kNoticedNs = 1'000 * kMs;  // in which it is seen that somebody is gone
// Who began so recently has not all of its own memory yet.
constexpr uint64_t kGrownUpNs = 3'000 * kMs;

}  // namespace

void ChaosRun::strike_scarcity(const Supervisor& supervisor, const Fault& fault) {
  std::vector<uint32_t> able;
  for (const uint32_t slot : fault.order)
    if (healthy(peers_[slot])) able.push_back(slot);
  // One has to stay that has the state, or has no strangers: what these cost is told by comparison
  // with it.
  if (!able.empty()) able.pop_back();
  Scarcity next;
  next.kind = fault.kind;
  next.until_ns = now_ns_ + fault.lasts_ns;
  next.lasts_ns = fault.lasts_ns;
  const bool either = fault.kind == FaultKind::kDescriptors && fault.strength < kCoordinatorsPart;
  next.of_coordinator =
      either || fault.kind == FaultKind::kFullDisk || fault.kind == FaultKind::kGarbage;
  const bool of_peers = !either && fault.kind != FaultKind::kFullDisk;
  const bool may_strike = !scarcity_.until_ns &&
                          !(kSanitized && fault.kind == FaultKind::kMemory) && is_up_to_date() &&
                          supervisor.coordinator() && (!of_peers || !able.empty());
  if (!may_strike) return void(++skipped_);
  if (of_peers)
    next.victims.assign(
        able.begin(),
        able.begin() + static_cast<long>(fault.kind == FaultKind::kGarbage
                                             ? std::min<size_t>(able.size(), fault.victims)
                                             : 1));
  const pid_t struck = of_peers ? peers_[next.victims.front()].pid : supervisor.coordinator();
  std::string left;
  switch (fault.kind) {
    case FaultKind::kDescriptors:
      next.limit = ScarceLimit(struck, RLIMIT_NOFILE, open_files_of(struck));
      break;
    case FaultKind::kMemory: {
      const auto more = static_cast<uint64_t>(kMemoryLeft * fault.strength);
      left = format(", %.1f MiB left", static_cast<double>(more) / kMiB);
      next.limit = ScarceLimit(struck, RLIMIT_AS, address_space_of(struck) + more);
      break;
    }
    case FaultKind::kFullDisk: {
      std::error_code error;
      const auto more = static_cast<uint64_t>(kDiskLeft * fault.strength);
      left = format(", %llu bytes left", static_cast<unsigned long long>(more));
      next.limit =
          ScarceLimit(struck, RLIMIT_FSIZE, std::filesystem::file_size(options_.log, error) + more);
      break;
    }
    default: break;
  }
  if (fault.kind != FaultKind::kGarbage && !next.limit.good()) return void(++skipped_);
  ++struck_[fault.kind];
  views_.struck(std::max<uint32_t>(1, static_cast<uint32_t>(next.victims.size())));
  begin_scarcity(supervisor, std::move(next), left);
}

void ChaosRun::begin_scarcity(const Supervisor& supervisor, Scarcity&& next,
                              const std::string& left) {
  scarcity_ = std::move(next);
  scarcity_.epoch = epoch_;
  scarcity_.coordinator = supervisor.coordinator();
  scarcity_.coordinator_peak =
      now_ns_ - coordinator_since_ns_ > kGrownUpNs ? peak_memory_of(scarcity_.coordinator) : 0;
  scarcity_.came = strangers_.counts().came;
  std::string whom = scarcity_.of_coordinator ? " the coordinator" : "";
  for (const uint32_t slot : scarcity_.victims) {
    Peer& peer = peers_[slot];
    whom += format(" slot %u", slot);
    if (scarcity_.kind == FaultKind::kGarbage) continue;
    peer.excused = peer.starved = true;
    peer.before = peer.member;
    peer.settled_at_ns = scarcity_.until_ns + 2 * kMs * options_.suspicion_ms;
    struck_at_ns_ = now_ns_;
  }
  for (Peer& peer : peers_)
    peer.peak_before =
        peer.pid && now_ns_ - peer.since_ns > kGrownUpNs ? peak_memory_of(peer.pid) : 0;
  if (scarcity_.kind == FaultKind::kFullDisk)
    coordinator_starved_until_ns_ = UINT64_MAX;  // it ends itself when it has to write
  if (scarcity_.kind == FaultKind::kGarbage || scarcity_.kind == FaultKind::kDescriptors)
    strangers_.come(endpoints_of_the_struck(supervisor));
  say(format("%s:%s for %.0f ms%s", std::string(name_of(scarcity_.kind)).c_str(), whom.c_str(),
             static_cast<double>(scarcity_.lasts_ns) / kMs, left.c_str()));
}

std::vector<std::string> ChaosRun::endpoints_of_the_struck(const Supervisor& supervisor) const {
  std::vector<std::string> all;
  if (scarcity_.of_coordinator) all.push_back(supervisor.coordinator_address());
  for (const PeerStatus& peer : status_->newest()->peers) {
    const auto& struck = scarcity_.victims;
    if (peer.member &&
        std::find(struck.begin(), struck.end(), peer.info.slot.value) != struck.end())
      all.insert(all.end(), peer.info.endpoints.begin(), peer.info.endpoints.end());
  }
  return all;
}

void ChaosRun::tend_scarcity() {
  if (!scarcity_.until_ns) return;
  strangers_.go_on();
  if (now_ns_ < scarcity_.until_ns) return;
  strangers_.leave();
  scarcity_.limit.give_back();
  if (scarcity_.kind == FaultKind::kFullDisk && coordinator_ == scarcity_.coordinator)
    coordinator_starved_until_ns_ = now_ns_ + kNoticedNs;
  if (scarcity_.kind == FaultKind::kGarbage) look_for_growth();
  scarcity_.until_ns = 0;
  say(std::string(name_of(scarcity_.kind)) + " is over");
}

// A change of the view, or a newcomer, costs memory of its own.  Who is about to come back, or has
// only begun, is left out.
void ChaosRun::look_for_growth() {
  const uint64_t came = strangers_.counts().came - scarcity_.came;
  if (kSanitized) return void(weighed_ += came);
  const bool calm =
      epoch_ == scarcity_.epoch && coordinator_ == scarcity_.coordinator &&
      std::all_of(peers_.begin(), peers_.end(), [](const Peer& p) { return p.member; });
  if (!calm) return;
  const auto growth = [](uint64_t before, pid_t pid) {
    return std::max(before, peak_memory_of(pid)) - before;
  };
  // A process that loses a little to each of them does so every time they come.
  const auto judge = [&](const std::string& who, uint64_t& by_strangers, uint64_t grown,
                         uint64_t expected) {
    by_strangers += grown - std::min(grown, expected);
    most_growth_ = std::max(most_growth_, by_strangers);
    if (by_strangers > kMostGrowth)
      find("MEMORY", format("%s grew by %.1f MiB under garbage", who.c_str(),
                            static_cast<double>(by_strangers) / kMiB));
  };
  if (scarcity_.coordinator_peak) {
    weighed_ += came;
    judge("the coordinator", coordinator_by_strangers_,
          growth(scarcity_.coordinator_peak, coordinator_), 0);
  }
  std::optional<uint64_t> usual;  // of those that are left alone, who do the same work
  const auto& struck = scarcity_.victims;
  for (uint32_t slot = 0; slot < peers_.size(); ++slot) {
    const Peer& peer = peers_[slot];
    if (peer.peak_before && !peer.excused &&
        std::find(struck.begin(), struck.end(), slot) == struck.end())
      usual = std::max(usual.value_or(0), growth(peer.peak_before, peer.pid));
  }
  if (!usual) return;
  for (const uint32_t slot : struck) {
    Peer& peer = peers_[slot];
    if (peer.peak_before && !peer.excused)
      judge(format("slot %u", slot), peer.by_strangers, growth(peer.peak_before, peer.pid), *usual);
  }
}

}  // namespace rhz::tools
