#include "runtime/membership/prober.h"

#include <algorithm>

namespace rhz {
namespace {

constexpr uint32_t kSmall = 6, kLarge = 3;  // probes of a visit
// Soon after an install, then ever more rarely.
constexpr Duration kFirstPause = milliseconds(20), kLongestPause = std::chrono::seconds(60);
constexpr int kGrowth = 4;
constexpr Duration kBusyPatience = milliseconds(50);  // before a pass begins between ops
constexpr Duration kGiveUp = std::chrono::seconds(2);  // no answer: the next peer

uint64_t count_of(Duration d) { return static_cast<uint64_t>(std::max<int64_t>(d.count(), 1)); }

}  // namespace

void Prober::watch(Time now, const std::vector<PeerId>& peers) {
  const bool any_new = std::any_of(peers.begin(), peers.end(),
                                   [&](PeerId peer) { return !links_.contains(peer); });
  std::erase_if(links_, [&](const auto& entry) {
    return std::find(peers.begin(), peers.end(), entry.first) == peers.end();
  });
  std::erase_if(costs_, [&](const auto& entry) { return !links_.contains(entry.first); });
  peers_ = peers;
  for (PeerId peer : peers) links_.try_emplace(peer);
  running_ = waiting_ = false;
  if (peers.empty()) {
    due_ = kNever;
    return;
  }
  if (any_new) pause_ = kFirstPause;
  due_ = any_new ? now + kFirstPause : std::min(due_, now + pause_);
}

std::optional<Prober::Probe> Prober::tick(Time now, bool idle) {
  if (waiting_ && now >= sent_ + kGiveUp) {
    end_visit();
    if (at_ == peers_.size()) end_pass(now);
  }
  if (waiting_ || now < due_) return std::nullopt;
  if (!running_) {
    if (!idle && now < due_ + kBusyPatience) return std::nullopt;
    running_ = true;
    at_ = 0;
    step_ = 0;
    small_ = large_ = Duration::zero();
  }
  waiting_ = true;
  sent_ = now;
  return Probe{peers_[at_], ++number_, step_ < kSmall ? 0 : kBurstBytes};
}

bool Prober::answered(Time now, PeerId from, uint64_t number) {
  if (!waiting_ || number != number_ || from != peers_[at_]) return false;
  waiting_ = false;
  Duration& shortest = step_ < kSmall ? small_ : large_;
  const Duration took = std::max(now - sent_, Duration(1));
  if (shortest == Duration::zero() || took < shortest) shortest = took;
  if (++step_ == kSmall + kLarge) end_visit();
  if (at_ == peers_.size()) end_pass(now);
  return true;
}

Time Prober::next_tick(Time now) const {
  if (waiting_) return sent_ + kGiveUp;
  return running_ || now < due_ ? due_ : due_ + kBusyPatience;
}

void Prober::end_visit() {
  waiting_ = false;
  const PeerId peer = peers_[at_++];
  if (large_ > Duration::zero()) {
    Link& link = links_[peer];
    const uint64_t rate = count_of(large_ - small_) * 1000 / (kBurstBytes / 1024);
    link.passes[link.next] = {std::min(count_of(small_ / 2), kMostLatencyNs),
                              std::clamp<uint64_t>(rate, 1, kMostPsPerKib)};
    link.next = (link.next + 1) % kPasses;
    LinkCost best;
    for (const LinkCost& pass : link.passes) {
      if (!pass.is_known()) continue;
      if (!best.is_known()) best = pass;
      best = {std::min(best.latency_ns, pass.latency_ns), std::min(best.ps_per_kib, pass.ps_per_kib)};
    }
    costs_[peer] = best;
  }
  step_ = 0;
  small_ = large_ = Duration::zero();
}

void Prober::end_pass(Time now) {
  running_ = false;
  due_ = now + pause_;
  pause_ = std::min(pause_ * kGrowth, kLongestPause);
}

}  // namespace rhz
