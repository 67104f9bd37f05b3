#include "api/tools/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "api/tools/text.h"

namespace rhz::tools {
namespace {

constexpr int kPassedOn[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
constexpr uint64_t kServicePatienceNs = 5'000'000'000;  // from SIGTERM to SIGKILL
constexpr uint64_t kLookPauseNs = 200'000'000;  // between two looks at who is left in the run
constexpr Duration kLookPatience = milliseconds(1000);

}  // namespace

Supervisor::Supervisor(const RunOptions& options, Onlooker* onlooker)
    : options_(options), onlooker_(onlooker) {
  if (options_.join.empty()) add_coordinator();
  if (options_.join.empty()) return;  // the others begin when it has said where it listens
  if (options_.vault) add_vault(options_.join);
  add_peers(options_.join);
}

void Supervisor::say(const std::string& text) const {
  std::fflush(stdout);
  std::fprintf(stderr, "rhizome run: %s\n", text.c_str());
}

bool Supervisor::open_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  for (int signal : kPassedOn) {
    struct sigaction now {};
    sigaction(signal, nullptr, &now);
    if (signal == SIGHUP && now.sa_handler == SIG_IGN) continue;  // under nohup
    sigaddset(&set, signal);
  }
  sigprocmask(SIG_BLOCK, &set, nullptr);
  signals_ = Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  return static_cast<bool>(signals_);
}

int Supervisor::run() {
  if (!open_signals()) {
    say("cannot watch signals");
    return 1;
  }
  for (size_t i = 0; i < jobs_.size(); ++i) start(jobs_[i]);
  while (true) {
    if (peers_done() && !others_go_on()) stop_services();
    const bool any = std::any_of(jobs_.begin(), jobs_.end(),
                                 [](const Job& job) { return job.state != State::kDone; });
    if (!any) return verdict();
    wait_for_events();
    take_signals();
    for (size_t i = 0; i < jobs_.size(); ++i) read(jobs_[i]);  // may add the peers
    reap();
    start_due();
    stop_the_lost();
    stop_the_unfounded();
    if (onlooker_) onlook_at_ns_ = onlooker_->look(*this, monotonic_ns());
  }
}

std::vector<pid_t> Supervisor::peers() const {
  std::vector<pid_t> all;
  for (const Job& job : jobs_)
    if (job.is_peer()) all.push_back(job.state == State::kRunning ? job.child.pid : 0);
  return all;
}

pid_t Supervisor::coordinator() const {
  for (const Job& job : jobs_)
    if (job.is_coordinator && job.state == State::kRunning && !job.stopping) return job.child.pid;
  return 0;
}

void Supervisor::stop(int signal) {
  ++stop_signals_;
  send_all(signal);
}

void Supervisor::wait_for_events() {
  std::vector<pollfd> fds{{signals_.get(), POLLIN, 0}};
  uint64_t next = onlook_at_ns_;
  for (const Job& job : jobs_) {
    if (job.child.out.is_open()) fds.push_back({job.child.out.fd(), POLLIN, 0});
    if (job.child.err.is_open()) fds.push_back({job.child.err.fd(), POLLIN, 0});
    if (job.state == State::kPausing) next = std::min(next, job.start_at_ns);
    if (job.stopping && job.state == State::kRunning) next = std::min(next, job.kill_at_ns);
  }
  if (others_) next = std::min(next, look_at_ns_);
  if (founding_look_at_ns_) next = std::min(next, founding_look_at_ns_);
  if (stop_at_ns_) next = std::min(next, stop_at_ns_);
  int timeout_ms = -1;
  if (next != UINT64_MAX) {
    const uint64_t now = monotonic_ns();
    timeout_ms = next <= now ? 0 : static_cast<int>((next - now) / 1'000'000 + 1);
  }
  (void)poll(fds.data(), fds.size(), timeout_ms);
}

void Supervisor::take_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    const auto signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGCHLD) continue;  // reap() looks at all of them
    const bool stop = signal == SIGINT || signal == SIGTERM;
    stop_signals_ += stop;
    if (stop && stop_signals_ > 1) {
      say("told to stop twice: killing all");
      send_all(SIGKILL);
    } else {
      if (stop) say("stopping; once more kills all");
      send_all(signal);
    }
  }
}

// To the peers.  The services end when they have, unless all is to be killed.
void Supervisor::send_all(int signal) {
  bool any = false;
  for (Job& job : jobs_) {
    if (stop_signals_ > 0 && job.state == State::kPausing) job.state = State::kDone;
    if (job.state != State::kRunning) continue;
    if (!job.is_peer() && signal != SIGKILL) continue;
    kill(-job.child.pid, signal);  // its group: a shell's children too
    any |= job.is_peer();
  }
  if (stop_signals_ > 0 && !any) stop_services();
}

void Supervisor::stop_services() {
  for (Job& job : jobs_)
    if (!job.is_peer()) stop_service(job);
}

void Supervisor::stop_service(Job& job) {
  if (job.state == State::kPausing || job.state == State::kIdle) job.state = State::kDone;
  if (job.state != State::kRunning) return;
  const uint64_t now = monotonic_ns();
  if (job.stopping && now < job.kill_at_ns) return;
  kill(job.child.pid, job.stopping ? SIGKILL : SIGTERM);
  job.stopping = true;
  job.kill_at_ns = now + kServicePatienceNs;
}

void Supervisor::reap() {
  for (size_t i = 0; i < jobs_.size(); ++i) {
    Job& job = jobs_[i];
    int wait_status = 0;
    if (job.state != State::kRunning || waitpid(job.child.pid, &wait_status, WNOHANG) <= 0)
      continue;
    read(job);  // its last words
    jobs_[i].child.out.close();
    jobs_[i].child.err.close();
    ended(jobs_[i], wait_status);
  }
}

void Supervisor::start_due() {
  const uint64_t now = monotonic_ns();
  for (Job& job : jobs_)
    if (job.state == State::kPausing && now >= job.start_at_ns) start(job);
}

// Those that have just been started, say, and wait to join a run that has ended.
void Supervisor::stop_the_lost() {
  if (stop_at_ns_ == 0 || monotonic_ns() < stop_at_ns_) return;
  stop_at_ns_ = 0;
  stop(SIGTERM);
}

bool Supervisor::peers_done() const {
  const bool any =
      std::any_of(jobs_.begin(), jobs_.end(), [](const Job& job) { return job.is_peer(); });
  // They come when the coordinator has said where it is.
  if (!any) return jobs_.front().state == State::kDone;
  return std::all_of(jobs_.begin(), jobs_.end(), [](const Job& job) {
    return !job.is_peer() || job.state == State::kDone;
  });
}

// No peer is to come from elsewhere.
bool Supervisor::is_whole_run() const {
  return options_.join.empty() && std::max(options_.world, options_.max_world) <= options_.peers;
}

Result<StatusReply> Supervisor::ask_coordinator() {
  if (!status_)
    if (auto opened = StatusClient::open(coordinator_address_)) status_ = std::move(opened).value();
  return status_ ? status_->ask(kLookPatience) : Result<StatusReply>(Status(Code::kUnreachable, ""));
}

// A run is founded by all of its world.  Those who wait for one that has ended would wait for ever.
void Supervisor::stop_the_unfounded() {
  if (founding_look_at_ns_ == 0 || stop_signals_ > 0 || monotonic_ns() < founding_look_at_ns_) return;
  founding_look_at_ns_ = monotonic_ns() + kLookPauseNs;
  const auto left = static_cast<size_t>(std::count_if(jobs_.begin(), jobs_.end(), [](const Job& job) {
    return job.is_peer() && job.state != State::kDone;
  }));
  if (left == 0) return void(founding_look_at_ns_ = 0);
  const auto reply = ask_coordinator();
  if (!reply) return;
  const auto& peers = reply.value().peers;
  const auto waiting = static_cast<size_t>(std::count_if(peers.begin(), peers.end(), [](const PeerStatus& p) { return p.connected; }));
  const bool founded = reply.value().view.epoch != Epoch(0);  // also when all have left since
  if (founded) founding_look_at_ns_ = 0;
  else if (waiting == left) {
    say(jobs_[static_cast<size_t>(first_end_)].label +
        format(" ended before the run was founded, and the other %zu wait for it in vain: they are stopped", left));
    founding_look_at_ns_ = 0;
    unfounded_ = true;
    stop(SIGTERM);
  }
}

// Members elsewhere need our coordinator until they have left: each death and each leave is a new
// view.  Those that wait for a founder of ours wait in vain.
bool Supervisor::others_go_on() {
  if (is_whole_run() || coordinator_address_.empty() || stop_signals_ > 0) return false;
  const Job& coordinator = jobs_.front();
  if (coordinator.state == State::kPausing) return true;  // it will tell
  if (coordinator.state != State::kRunning || coordinator.stopping) return others_ = false;
  if (monotonic_ns() < look_at_ns_) return others_;
  auto reply = ask_coordinator();
  const bool before = std::exchange(
      others_, reply && std::any_of(reply.value().peers.begin(), reply.value().peers.end(),
                                    [](const PeerStatus& p) { return p.member && p.connected; }));
  look_at_ns_ = monotonic_ns() + kLookPauseNs;
  if (others_ && !before)
    say("the peers of this host have ended; the coordinator stays for those of other hosts");
  return others_;
}

int Supervisor::verdict() const {
  // Of a run that was not founded, who ended, and not who was stopped for that.
  const int judged = unfounded_ ? first_end_ : first_failure_;
  if (judged < 0) return 0;
  const Job& job = jobs_[static_cast<size_t>(judged)];
  say(job.label + " failed: " + wait_text(job.wait_status));
  const int status = shell_status(job.wait_status);
  return status ? status : 1;
}

}  // namespace rhz::tools
