// The faults.  chaos_watch.cc looks at what the run makes of them.
#include "api/tools/chaos_run.h"

#include <signal.h>

#include <algorithm>
#include <cstdio>

#include "api/tools/connections.h"
#include "api/tools/text.h"
#include "runtime/wire/frame.h"

namespace rhz::tools {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kLookNs = 20 * kMs;
// A slow peer is stopped and let go in turns that are short beside any suspicion time.
constexpr uint64_t kSlowStopNs = 95 * kMs, kSlowRunNs = 5 * kMs;  // 5 % are left
constexpr uint64_t kTurnsOfSuspicion = 8;
constexpr uint64_t kStoppingNs = 10'000 * kMs;  // from SIGTERM to SIGKILL
constexpr double kMostTimes = 10;  // as many minutes as asked for, for the sake of what is required
constexpr Duration kAskPause = milliseconds(50);

double seconds(uint64_t ns) { return static_cast<double>(ns) / 1e9; }

}  // namespace

ChaosRun::ChaosRun(const ChaosOptions& options)
    : options_(options),
      plan_(options.seed, options.peers, static_cast<uint64_t>(options.every_s * 1e9),
            uint64_t{options.suspicion_ms} * kMs, options.kinds),
      peers_(options.peers),
      strangers_(options.seed, wire::run_hash(options.run_id)) {}

void ChaosRun::say(const std::string& text) const {
  std::fflush(stdout);
  std::fprintf(stderr, "rhizome chaos: %8.3f s  %s\n", seconds(now_ns_ - begun_ns_), text.c_str());
}

void ChaosRun::signal(Peer& peer, int number) {
  if (peer.pid > 0) (void)kill(-peer.pid, number);
}

uint64_t ChaosRun::look(Supervisor& supervisor, uint64_t now_ns) {
  note_machine(now_ns);
  now_ns_ = now_ns;
  if (!begun_ns_) begun_ns_ = now_ns;
  note_processes(supervisor);
  note_absences();
  tend_network();
  tend_scarcity();
  wake_the_stopped();
  if (!status_ && !supervisor.coordinator_address().empty())
    if (auto opened = StatusClient::open(supervisor.coordinator_address())) status_ = std::move(opened).value();
  if (status_) {
    status_->poll(kAskPause);
    if (status_->newest() && status_->newest_at() != seen_at_) {
      seen_at_ = status_->newest_at();
      observe(*status_->newest());
    }
  }
  switch (phase_) {
    case Phase::kFounding: {
      const bool all = std::all_of(peers_.begin(), peers_.end(), [](const Peer& p) { return p.member && p.ops > 0; });
      if (!all) break;
      phase_ = Phase::kFaults;
      faults_begun_ns_ = now_ns;
      views_.count();
      say("all peers are members and have ended an op: the faults begin");
      break;
    }
    case Phase::kFaults:
      if (is_time_over()) {
        phase_ = Phase::kCalm;
        calm_since_ns_ = now_ns;
        for (Peer& peer : peers_) peer.resume_at_ns = std::min(peer.resume_at_ns, now_ns);
        network_.until_ns = std::min(network_.until_ns, now_ns);
        scarcity_.until_ns = std::min(scarcity_.until_ns, now_ns);
        say("the time is over: no more faults; every peer has to come back");
      } else if (now_ns - faults_begun_ns_ >= plan_.next().at_ns) {
        strike(supervisor);
        plan_.advance();
      }
      break;
    case Phase::kCalm:
      if (is_calm()) stop(supervisor, SIGTERM);
      break;
    case Phase::kStopping:
      if (now_ns >= kill_at_ns_) stop(supervisor, SIGKILL);
      break;
  }
  look_for_evictions();
  if (phase_ != Phase::kStopping) look_for_hangs(supervisor);
  if (phase_ != Phase::kStopping && !findings_.empty()) stop(supervisor, SIGTERM);
  const bool any_slow = std::any_of(peers_.begin(), peers_.end(), [](const Peer& p) { return p.slow; });
  return now_ns + (any_slow ? kSlowRunNs : kLookNs);
}

// Where less has struck than is required, there is more: how fast faults come is the machine's doing.
bool ChaosRun::is_time_over() const {
  const double minutes = static_cast<double>(now_ns_ - faults_begun_ns_) / 60e9;
  return minutes >= options_.minutes && (minutes >= kMostTimes * options_.minutes || missing().empty());
}

void ChaosRun::stop(Supervisor& supervisor, int signal) {
  phase_ = Phase::kStopping;
  kill_at_ns_ = now_ns_ + kStoppingNs;
  for (Peer& peer : peers_)
    if (peer.stopped) this->signal(peer, SIGCONT);
  supervisor.stop(signal);
}

void ChaosRun::note_processes(const Supervisor& supervisor) {
  const std::vector<pid_t> pids = supervisor.peers();
  for (size_t i = 0; i < peers_.size() && i < pids.size(); ++i) {
    Peer& peer = peers_[i];
    if (pids[i] == peer.pid) continue;
    restarts_ += pids[i] && peer.excused;
    peer.pid = pids[i];
    peer.resume_at_ns = peer.settled_at_ns = peer.gone_at_ns = 0;
    peer.member.reset();
    peer.reborn |= pids[i] && peer.excused;
    peer.slow = peer.stopped = peer.killed = peer.starved = false;
    peer.since_ns = now_ns_;
    peer.ops = peer.by_strangers = 0;
    peer.proven = false;
    peer.stirred_at_ns = now_ns_;
  }
  const pid_t coordinator = supervisor.coordinator();
  if (coordinator == coordinator_) return;
  const bool killed = std::exchange(coordinator_killed_, false);
  const bool starved = now_ns_ < std::exchange(coordinator_starved_until_ns_, 0);
  if (coordinator_ && !killed && !starved && phase_ != Phase::kStopping) find("OWN FAILURE", "the coordinator ended by itself");
  returns_ += coordinator && coordinator_since_ns_ == 0 && phase_ != Phase::kFounding;
  coordinator_ = coordinator;
  coordinator_since_ns_ = coordinator ? now_ns_ : 0;
  coordinator_by_strangers_ = 0;
  if (!coordinator) return;
  views_.coordinator_began();
  status_.reset();  // nothing that the one before said is to be taken for this one's word
}

void ChaosRun::wake_the_stopped() {
  for (size_t i = 0; i < peers_.size(); ++i) {
    Peer& peer = peers_[i];
    if (!peer.resume_at_ns) continue;
    if (now_ns_ >= peer.resume_at_ns) {
      signal(peer, SIGCONT);
      say(format("slot %zu is let go", i));
      peer.resume_at_ns = 0;
      peer.slow = peer.stopped = false;
      peer.stirred_at_ns = now_ns_;
      if (peer.excused) peer.settled_at_ns = now_ns_ + 2 * kMs * options_.suspicion_ms;  // for all to have noticed
    } else if (peer.slow) {
      const uint64_t longest = std::min(kSlowStopNs, kMs * options_.suspicion_ms / kTurnsOfSuspicion);
      const bool stop = now_ns_ % (longest + kSlowRunNs) < longest;
      if (stop != peer.stopped) signal(peer, stop ? SIGSTOP : SIGCONT);
      peer.stopped = stop;
    }
  }
}

void ChaosRun::strike(const Supervisor& supervisor) {
  const Fault& fault = plan_.next();
  const bool resets_by_network = fault.kind == FaultKind::kReset && options_.lan;
  if (is_of_network(fault.kind) || resets_by_network) return strike_network(fault);
  if (is_scarcity(fault.kind)) return strike_scarcity(supervisor, fault);
  if (fault.kind == FaultKind::kCoordinator) {
    const pid_t coordinator = supervisor.coordinator();
    if (!coordinator || !status_ || !status_->is_up()) return void(++skipped_);
    say("SIGKILL of the coordinator");
    (void)kill(coordinator, SIGKILL);
    coordinator_killed_ = true;
    struck_at_ns_ = now_ns_;
    ++struck_[fault.kind];
    views_.struck(1);
    return;
  }
  if (fault.kind == FaultKind::kKillJoiners) return kill_joiners(fault);
  std::vector<size_t> candidates;
  for (const uint32_t i : fault.order)
    if (healthy(peers_[i])) candidates.push_back(i);
  // One has to stay that has the state.
  const bool takes_out = fault.kind == FaultKind::kKill || fault.kind == FaultKind::kKillSeveral || fault.kind == FaultKind::kFreeze;
  const size_t most = takes_out ? candidates.size() - std::min<size_t>(1, candidates.size()) : candidates.size();
  if (takes_out && !is_up_to_date()) return void(++skipped_);
  if (takes_out) struck_at_ns_ = now_ns_;
  const size_t wanted = fault.kind == FaultKind::kKillSeveral ? fault.victims : 1;
  if (most == 0 || (fault.kind == FaultKind::kReset && !reset(candidates[0], fault.victims))) return void(++skipped_);
  ++struck_[fault.kind];
  if (fault.kind == FaultKind::kReset) return;
  views_.struck(static_cast<uint32_t>(std::min(wanted, most)));
  for (size_t v = 0; v < std::min(wanted, most); ++v) strike_one(fault, candidates[v]);
}

void ChaosRun::kill_joiners(const Fault& fault) {
  uint32_t killed = 0;
  for (const uint32_t i : fault.order) {
    Peer& peer = peers_[i];
    if (killed == fault.victims || !peer.pid || peer.member || !peer.excused || peer.killed || peer.resume_at_ns) continue;
    peer.reborn = false;
    peer.killed = true;
    say(format("SIGKILL of slot %u (process %d), which is joining", i, static_cast<int>(peer.pid)));
    signal(peer, SIGKILL);
    ++killed;
  }
  if (killed == 0) return void(++skipped_);
  views_.struck(killed);
  ++struck_[fault.kind];
}

// Every so many of its connections, from the first one on.
bool ChaosRun::reset(size_t i, uint32_t one_in) {
  if (!may_reset_) return false;
  const std::vector<Connection> all = connections_of(peers_[i].pid);
  size_t ended = 0;
  for (size_t c = 0; c < all.size(); c += one_in) ended += reset_connection(all[c]);
  if (ended > 0) say(format("%zu of %zu TCP connections of slot %zu are reset", ended, all.size(), i));
  if (ended == 0 && !all.empty()) {
    may_reset_ = false;
    say("connections cannot be reset here: that takes root, and ss of iproute2");
  }
  return ended > 0;
}

void ChaosRun::strike_one(const Fault& fault, size_t i) {
  Peer& peer = peers_[i];
  const bool kills = fault.kind == FaultKind::kKill || fault.kind == FaultKind::kKillSeveral;
  if (kills || fault.kind == FaultKind::kFreeze) {
    peer.excused = true;
    peer.before = peer.member;
  }
  if (kills) {
    peer.killed = true;
    say(format("SIGKILL of slot %zu (process %d)", i, static_cast<int>(peer.pid)));
    return signal(peer, SIGKILL);
  }
  peer.resume_at_ns = now_ns_ + fault.lasts_ns;
  peer.slow = fault.kind == FaultKind::kSlow;
  peer.stopped = true;
  say(format("%s of slot %zu (process %d) for %.0f ms", peer.slow ? "slowing" : "SIGSTOP", i,
             static_cast<int>(peer.pid), static_cast<double>(fault.lasts_ns) / 1e6));
  signal(peer, SIGSTOP);
}

}  // namespace rhz::tools
