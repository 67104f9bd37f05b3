// What a run makes of the faults that strike it.
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <utility>

#include "api/tools/chaos_run.h"
#include "api/tools/stacks.h"
#include "api/tools/text.h"

namespace rhz::tools {
namespace {

constexpr uint64_t kMs = 1'000'000;
// A program that leaves the run ends soon behind it; one that goes on was evicted.
constexpr uint64_t kLeavingNs = 3'000 * kMs;
// Between two looks at what the kernel counts …
constexpr uint64_t kQueuesNs = 250 * kMs;
// The coordinator's word is so old at most.
constexpr uint64_t kNewsNs = 200 * kMs;

uint64_t nanoseconds_of(double seconds) { return static_cast<uint64_t>(seconds * 1e9); }

}  // namespace

void ChaosRun::observe(const StatusReply& reply) {
  seen_ns_ = now_ns_;
  if (const std::string lost = views_.told(reply.view.epoch.value); !lost.empty()) find("DECISION LOST", lost);
  if (reply.view.epoch.value < epoch_) return;
  for (const FaultLine& fault : reply.faults) views_.explained(fault.epoch.value, fault.cause);
  views_.explained(reply.view.epoch.value, reply.view.cause);
  if (std::exchange(epoch_, reply.view.epoch.value) != reply.view.epoch.value && phase_ != Phase::kFounding)
    say(format("epoch %llu: %s", static_cast<unsigned long long>(epoch_), reply.view.cause.c_str()));
  for (size_t slot = 0; slot < peers_.size(); ++slot) {
    const auto at = std::find_if(reply.peers.begin(), reply.peers.end(), [&](const PeerStatus& p) {
      return p.member && p.info.slot.value == slot;
    });
    observe_peer(slot, at == reply.peers.end() ? nullptr : &*at);
  }
  if (phase_ == Phase::kStopping) return;
  if (const std::string changes = views_.flapping(); !changes.empty()) find("FLAPPING", changes);
}

void ChaosRun::observe_peer(size_t slot, const PeerStatus* status) {
  Peer& peer = peers_[slot];
  const bool anew = status && peer.member != status->info.id;
  if (peer.member && (!status || anew)) peer.lost_by = views_.causes_behind(peer.seen_in);
  if (status) peer.seen_in = epoch_;
  if (!status) {
    if (peer.member && !peer.excused && peer.pid) peer.gone_at_ns = now_ns_;
    peer.member.reset();
    peer.proven = false;
    return;
  }
  const bool dead = !peer.pid || peer.killed;
  if (peer.excused && dead) peer.before = status->info.id;  // also one that it became just before
  // The same peer: the coordinator has not heard of its end.
  if (peer.excused && peer.before == status->info.id && (dead || peer.reborn || peer.resume_at_ns)) return;
  if (anew && !peer.excused && (peer.gone_at_ns || peer.member)) say_evicted(slot);
  if (anew) views_.entered();
  // A coordinator that is back knows of none before it hears a beat.
  if (anew || status->beat.ops > peer.ops) peer.stirred_at_ns = now_ns_;
  peer.proven = !anew && (peer.proven || status->beat.ops > peer.ops);
  peer.member = status->info.id;
  peer.ops = anew ? status->beat.ops : std::max(peer.ops, status->beat.ops);
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
  note_queues();
  const uint64_t since = now_ns_ - std::min(now_ns_, kLeavingNs + 4 * kMs * options_.suspicion_ms);
  const uint64_t away = machine_away_.since(since);
  uint64_t in_line = 0;
  for (const Absences* waits : {&peers_[slot].in_line, &peers_[slot].in_slices, &coordinator_in_line_, &coordinator_in_slices_})
    in_line = std::max(in_line, waits->since(since));
  if (away + in_line > 0) {
    peers_[slot].excused = true;
    views_.struck(1);
    const char* const who = away > 0 ? "this machine had stood still" : "it, or the coordinator, had waited for a core";
    return doubt(format("slot %zu was evicted, and %s for %.0f ms (%s)", slot, who, static_cast<double>(away > 0 ? away : in_line) / kMs, peers_[slot].lost_by.c_str()));
  }
  find("FALSE EVICTION", format("slot %zu was evicted although no fault explains it (%s)", slot, peers_[slot].lost_by.c_str()));
}

// Who comes late to its own look was not let run, and neither, perhaps, were the peers.
void ChaosRun::note_machine(uint64_t now_ns) {
  const uint64_t shortest = std::min(kMs * options_.suspicion_ms, nanoseconds_of(options_.stall_s)) / 4;
  if (!now_ns_ || now_ns - now_ns_ < shortest) return;
  machine_away_.note(now_ns_, true);
  machine_away_.note(now_ns, false);
}

// Kernels let threads wait for seconds, beside others that run: one that did is not to blame for its silence.  What is as long as two
// looks is no sum of short waits.
void ChaosRun::note_queues() {
  const uint64_t shortest = std::max(kMs * options_.suspicion_ms / 2, 2 * kQueuesNs);
  const auto note = [&](CoreQueue& queue, pid_t process, Absences& in_line) {
    const uint64_t waited = process ? queue.longest_ns(process) : 0;
    if (waited < shortest) return;
    in_line.note(now_ns_ - std::min(now_ns_, waited), true);
    in_line.note(now_ns_, false);
  };
  for (Peer& peer : peers_) note(peer.queue, peer.pid, peer.in_line);
  note(coordinator_queue_, coordinator_, coordinator_in_line_);
  queues_seen_ns_ = now_ns_;
}

// Nor is one that got next to nothing for as long as others wait for a sign of it, in however many slices.
void ChaosRun::note_shares() {
  const uint64_t since = std::exchange(shares_seen_ns_, now_ns_), looked = now_ns_ - since;
  const auto note = [&](CoreQueue& share, pid_t process, Absences& in_slices) {
    const uint64_t waited = process ? share.longest_ns(process) : 0;
    if (since == 0 || waited < looked / 5 * 4) return;
    in_slices.note(since, true);
    in_slices.note(now_ns_, false);
  };
  for (Peer& peer : peers_) note(peer.share, peer.pid, peer.in_slices);
  note(coordinator_share_, coordinator_, coordinator_in_slices_);
}

// A coordinator that runs has to answer, sooner or later; else its peers are to be looked at.
void ChaosRun::note_absences() {
  const bool answers = status_ && status_->newest();
  const bool begins = coordinator_ && now_ns_ - coordinator_since_ns_ < nanoseconds_of(options_.stall_s);
  coordinator_away_.note(now_ns_, !coordinator_ || (begins && !answers));
  for (Peer& peer : peers_) peer.held.note(now_ns_, peer.resume_at_ns != 0);
  if (now_ns_ - queues_seen_ns_ >= kQueuesNs) note_queues();
  if (now_ns_ - shares_seen_ns_ >= kMs * options_.suspicion_ms) note_shares();
}

// Where this process was not let run, its network, if there is one, stood still as well.
void ChaosRun::look_for_hangs(const Supervisor& supervisor) {
  const uint64_t patience = nanoseconds_of(options_.stall_s);
  bool any = false;
  for (size_t i = 0; i < peers_.size(); ++i) {
    const Peer& peer = peers_[i];
    const uint64_t last = std::max(peer.stirred_at_ns, peer.told_at_ns);
    const uint64_t away = coordinator_away_.since(last) + machine_away_.since(last) + peer.in_line.since(last);
    if (!peer.pid || peer.resume_at_ns || now_ns_ - last < patience + away) continue;
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
    doubt(format("slot %zu was killed by somebody else", i));
    views_.struck(1);
    peer.excused = true;
    peer.before = peer.member;
    return false;
  }
  const bool aborted = WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGABRT;
  if (peer.excused && (WIFEXITED(wait_status) || (aborted && peer.starved))) return false;
  find("OWN FAILURE", format("slot %zu ended by itself (%s)", i, wait_text(wait_status).c_str()));
  return true;
}

void ChaosRun::peer_said(size_t i, std::string_view said) {
  const auto line = LedgerLine::of(said);
  if (!line) return;
  peers_[i].told_at_ns = monotonic_ns();  // the last look may be long ago
  views_.known(line->epoch);
  if (const std::string wrong = ledger_.note(i, *line); !wrong.empty()) find("WRONG BITS", wrong);
  look_for_slowness(i, *line);
}

// Others may have stood still meanwhile, one behind the other: each is evicted, or let go.  The stall time is for that.
void ChaosRun::look_for_slowness(size_t i, const LedgerLine& line) {
  const uint64_t took = line.us * 1000, began = now_ns_ - std::min(now_ns_, took);
  const double bound_s = options_.op_bound_s > 0 ? options_.op_bound_s : options_.stall_s + 2e-3 * options_.suspicion_ms;
  const uint64_t bound = nanoseconds_of(bound_s) + coordinator_away_.since(began) + peers_[i].held.since(began);
  if (took > bound)
    find("SLOW OP", format("op %llu took slot %zu %.3f s, where %.3f s are the most", static_cast<unsigned long long>(line.op), i,
                           static_cast<double>(took) / 1e9, static_cast<double>(bound) / 1e9));
}

void ChaosRun::find(const char* what, const std::string& text) {
  findings_.push_back(text);
  say(std::string(what) + ": " + text);
}

void ChaosRun::doubt(const std::string& text) {
  doubts_.push_back(text);
  say(text);
}

bool ChaosRun::is_calm() const {
  return std::all_of(peers_.begin(), peers_.end(), [&](const Peer& p) {
    return p.pid && p.member && !p.excused && p.stirred_at_ns > calm_since_ns_;
  });
}

}  // namespace rhz::tools
