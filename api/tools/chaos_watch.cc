// What a run makes of the faults that strike it.
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>

#include "api/tools/chaos_run.h"
#include "api/tools/stacks.h"
#include "api/tools/text.h"

namespace rhz::tools {
namespace {

constexpr uint64_t kMs = 1'000'000;
// A program that leaves the run ends soon behind it; one that goes on was evicted.
constexpr uint64_t kLeavingNs = 3'000 * kMs;
// The coordinator's word is so old at most.
constexpr uint64_t kNewsNs = 200 * kMs;

}  // namespace

void ChaosRun::observe(const StatusReply& reply) {
  seen_ns_ = now_ns_;
  if (reply.view.epoch.value < epoch_) return;  // of a coordinator that is catching up
  epoch_ = reply.view.epoch.value;
  cause_ = reply.view.cause;
  for (size_t slot = 0; slot < peers_.size(); ++slot) {
    const auto at = std::find_if(reply.peers.begin(), reply.peers.end(), [&](const PeerStatus& p) {
      return p.member && p.info.slot.value == slot;
    });
    observe_peer(slot, at == reply.peers.end() ? nullptr : &*at);
  }
}

void ChaosRun::observe_peer(size_t slot, const PeerStatus* status) {
  Peer& peer = peers_[slot];
  if (!status) {
    if (peer.member && !peer.excused && peer.pid) peer.gone_at_ns = now_ns_;
    peer.member.reset();
    peer.proven = false;
    return;
  }
  const bool anew = peer.member != status->info.id;
  // The same peer, killed a moment ago: the coordinator has not heard of it.
  if (peer.excused && peer.before == status->info.id && (!peer.pid || peer.killed || peer.resume_at_ns)) return;
  if (anew || status->beat.ops != peer.ops) peer.stirred_at_ns = now_ns_;
  peer.proven = !anew && (peer.proven || status->beat.ops > peer.ops);
  peer.member = status->info.id;
  peer.ops = status->beat.ops;
  peer.gone_at_ns = 0;
  // Back under a new name; or never evicted, because it was let go in time.
  const bool stayed = now_ns_ - peer.stirred_at_ns < 2 * kMs * options_.suspicion_ms && !peer.resume_at_ns;
  if (peer.excused && (peer.before != peer.member || (stayed && !anew))) peer.excused = false;
}

// What is known of the members is not from before the last fault.
bool ChaosRun::is_up_to_date() const {
  return status_ && status_->is_up() && status_->newest() && seen_ns_ > struck_at_ns_ + kNewsNs && now_ns_ - seen_ns_ < kNewsNs;
}

// The view lost somebody to whom nothing was done.
void ChaosRun::look_for_evictions() {
  for (size_t i = 0; i < peers_.size(); ++i) {
    Peer& peer = peers_[i];
    if (!peer.gone_at_ns || now_ns_ - peer.gone_at_ns < kLeavingNs) continue;
    peer.gone_at_ns = 0;
    if (!peer.pid || phase_ == Phase::kStopping) continue;
    findings_.push_back(format("slot %zu was evicted although it was neither killed nor stopped for the suspicion time (%s)", i, cause_.c_str()));
    say("FALSE EVICTION: " + findings_.back());
  }
}

void ChaosRun::look_for_hangs(const Supervisor& supervisor) {
  const auto patience = static_cast<uint64_t>(options_.stall_s * 1e9);
  const bool away = coordinator_since_ns_ == 0 || now_ns_ - coordinator_since_ns_ < patience;
  if (away && phase_ != Phase::kFounding) return;
  bool any = false;
  for (size_t i = 0; i < peers_.size(); ++i) {
    const Peer& peer = peers_[i];
    if (!peer.pid || peer.resume_at_ns || now_ns_ - peer.stirred_at_ns < patience) continue;
    any = true;
    findings_.push_back(format("slot %zu (process %d, %s) has ended no op for %.0f s", i, static_cast<int>(peer.pid),
                               peer.member ? "a member" : "not a member", options_.stall_s));
    say("HANG: " + findings_.back());
  }
  if (!any) return;
  for (const pid_t pid : supervisor.peers())
    if (pid) print_stacks(pid);
}

bool ChaosRun::peer_ended(size_t i, int wait_status) {
  Peer& peer = peers_[i];
  const bool good = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
  if (phase_ == Phase::kStopping || good || peer.excused) return false;
  findings_.push_back(format("slot %zu ended by itself (%s)", i, wait_text(wait_status).c_str()));
  say("OWN FAILURE: " + findings_.back());
  return true;
}

bool ChaosRun::is_calm() const {
  return std::all_of(peers_.begin(), peers_.end(), [&](const Peer& p) {
    return p.pid && p.member && !p.excused && p.stirred_at_ns > calm_since_ns_;
  });
}

int ChaosRun::report(int run_status) const {
  uint32_t faults = 0;
  std::string kinds;
  for (const auto& [kind, count] : struck_) {
    faults += count;
    kinds += format("%s%u %s", kinds.empty() ? "" : ", ", count, std::string(name_of(kind)).c_str());
  }
  std::fflush(stdout);
  std::fprintf(stderr,
               "rhizome chaos: seed %llu, %u peers: %u faults (%s), %u could not strike; epoch %llu; %u restarts of peers, "
               "the coordinator came back %u times\n",
               static_cast<unsigned long long>(options_.seed), options_.peers, faults, kinds.c_str(), skipped_,
               static_cast<unsigned long long>(epoch_), restarts_, returns_);
  for (const std::string& finding : findings_) std::fprintf(stderr, "rhizome chaos: FOUND: %s\n", finding.c_str());
  if (findings_.empty() && run_status == 0 && faults > 0) {
    std::fprintf(stderr, "rhizome chaos: ok: 0 hangs, 0 false evictions, nobody failed by itself, all results that were compared equal\n");
    return 0;
  }
  if (findings_.empty() && faults == 0)
    std::fprintf(stderr, "rhizome chaos: no fault struck before the program was done: a longer program, or a smaller --every-s\n");
  std::fprintf(stderr, "rhizome chaos: FAILED (the run ended with status %d)\n", run_status);
  return 1;
}

}  // namespace rhz::tools
