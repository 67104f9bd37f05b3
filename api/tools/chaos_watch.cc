// What a run makes of the faults that strike it.
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <utility>

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
  cause_ = reply.view.cause;
  if (std::exchange(epoch_, reply.view.epoch.value) != reply.view.epoch.value && phase_ != Phase::kFounding)
    say(format("epoch %llu: %s", static_cast<unsigned long long>(epoch_), cause_.c_str()));
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
  const bool dead = !peer.pid || peer.killed;
  if (peer.excused && dead) peer.before = status->info.id;  // also one that it became just before
  // The same peer: the coordinator has not heard of its end.
  if (peer.excused && peer.before == status->info.id && (dead || peer.reborn || peer.resume_at_ns)) return;
  if (anew && !peer.excused && (peer.gone_at_ns || peer.member)) say_evicted(slot);
  if (anew || status->beat.ops != peer.ops) peer.stirred_at_ns = now_ns_;
  peer.proven = !anew && (peer.proven || status->beat.ops > peer.ops);
  peer.member = status->info.id;
  peer.ops = status->beat.ops;
  peer.gone_at_ns = 0;
  // Back under a new name; or never evicted, because it was let go in time.
  const bool stayed = now_ns_ - peer.stirred_at_ns < 2 * kMs * options_.suspicion_ms && !peer.resume_at_ns && now_ns_ >= peer.settled_at_ns;
  if (peer.excused && (peer.before != peer.member || (stayed && !anew))) peer.excused = peer.reborn = peer.starved = false;
}

// What is known of the members is not from before the last fault.
bool ChaosRun::is_up_to_date() const {
  return status_ && status_->is_up() && status_->newest() && seen_ns_ > struck_at_ns_ + kNewsNs && now_ns_ - seen_ns_ < kNewsNs;
}

// The view lost somebody to whom nothing was done, and who does not come back, as most programs do at once.
void ChaosRun::look_for_evictions() {
  for (size_t i = 0; i < peers_.size(); ++i) {
    Peer& peer = peers_[i];
    if (!peer.gone_at_ns || now_ns_ - peer.gone_at_ns < kLeavingNs) continue;
    peer.gone_at_ns = 0;
    if (!peer.pid || phase_ == Phase::kStopping) continue;
    say_evicted(i);
  }
}

void ChaosRun::say_evicted(size_t slot) {
  find("FALSE EVICTION", format("slot %zu was evicted although no fault explains it (%s)", slot, cause_.c_str()));
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
    find("HANG", format("slot %zu (process %d, %s) has ended no op for %.0f s", i, static_cast<int>(peer.pid),
                        peer.member ? "a member" : "not a member", options_.stall_s));
  }
  if (!any) return;
  std::vector<pid_t> all = supervisor.peers();
  all.push_back(supervisor.coordinator());
  for (const pid_t pid : all)
    if (pid) print_stacks(pid);
}

bool ChaosRun::peer_ended(size_t i, int wait_status) {
  Peer& peer = peers_[i];
  const bool good = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
  if (phase_ == Phase::kStopping || good) return false;
  const bool by_kill = WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL;
  if (by_kill && peer.killed) return false;
  if (by_kill) {
    // The kernel's, for want of memory, or somebody else's: what the others make of it says nothing.
    doubts_.push_back(format("slot %zu was killed by somebody else", i));
    say(doubts_.back());
    peer.excused = true;
    peer.before = peer.member;
    return false;
  }
  const bool aborted = WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGABRT;
  if (peer.excused && (WIFEXITED(wait_status) || (aborted && peer.starved))) return false;
  find("OWN FAILURE", format("slot %zu ended by itself (%s)", i, wait_text(wait_status).c_str()));
  return true;
}

void ChaosRun::peer_said(size_t i, std::string_view line) {
  if (const std::string wrong = ledger_.note(i, line); !wrong.empty()) find("WRONG BITS", wrong);
}

void ChaosRun::find(const char* what, const std::string& text) {
  findings_.push_back(text);
  say(std::string(what) + ": " + text);
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
  if (ledger_.ops() > 0)
    std::fprintf(stderr, "rhizome chaos: ledger: %llu ops, %llu lines compared with those of others; the slowest took %.0f ms\n",
                 static_cast<unsigned long long>(ledger_.ops()), static_cast<unsigned long long>(ledger_.compared()),
                 static_cast<double>(ledger_.slowest_us()) / 1e3);
  if (const Strangers::Counts& strangers = strangers_.counts(); strangers.came > 0)
    std::fprintf(stderr, "rhizome chaos: strangers: %llu came, %llu were turned away; nobody grew by more than %.1f MiB by them\n",
                 static_cast<unsigned long long>(strangers.came), static_cast<unsigned long long>(strangers.turned_away),
                 static_cast<double>(most_growth_) / (1 << 20));
  if (options_.lan) {
    const Lan::Counts packets = options_.lan->counts();
    std::fprintf(stderr, "rhizome chaos: network: %llu packets carried, %llu lost, %llu answered with a reset, %llu damaged, %llu forged\n",
                 static_cast<unsigned long long>(packets.carried), static_cast<unsigned long long>(packets.lost),
                 static_cast<unsigned long long>(packets.reset), static_cast<unsigned long long>(packets.damaged),
                 static_cast<unsigned long long>(packets.forged));
  }
  for (const std::string& finding : findings_) std::fprintf(stderr, "rhizome chaos: FOUND: %s\n", finding.c_str());
  for (const std::string& doubt : doubts_) std::fprintf(stderr, "rhizome chaos: DOUBT: %s\n", doubt.c_str());
  if (findings_.empty() && !doubts_.empty()) {
    std::fprintf(stderr, "rhizome chaos: INCONCLUSIVE: not all of this is the doing of the faults\n");
    return kInconclusive;
  }
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
