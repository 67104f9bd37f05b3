// One process under the supervisor: how it is started, what it says, what becomes of it when it
// ends.
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "api/tools/supervisor.h"
#include "api/tools/text.h"
#include "recovery/vault/socket.h"
#include "runtime/base/options.h"

namespace rhz::tools {
namespace {

// Between a death and the next start: doubles with each, so that a program that cannot run does not
// fill the log; up to a limit.
constexpr uint64_t kFirstPauseNs = 100'000'000;
// Who ran for so long did not die of how it was started: the pause is a short one again.
constexpr uint64_t kLongLifeNs = 60'000'000'000;
constexpr std::string_view kListening = "coordinator: listening on ";
// A peer's exit status: nothing gives the run's state back.  Others find the same, and say so
// themselves.
constexpr int kLost = 65;
constexpr uint64_t kLostPatienceNs = 3'000'000'000;

}  // namespace

std::string run_id_of(const RunOptions& options) {
  return options.run_id.empty() ? environment("RHZ_RUN_ID").value_or("default") : options.run_id;
}

std::string vault_name_of(const RunOptions& options) {
  return recovery::vault_name(run_id_of(options),
                              options.host.empty() ? environment("RHZ_HOST").value_or("")
                                                   : options.host);
}

void Supervisor::add_coordinator() {
  const RunOptions& o = options_;
  Job job;
  job.label = "coordinator";
  job.is_coordinator = true;
  job.command.merge_output = false;
  const uint32_t world = o.world ? o.world : o.peers;
  auto& arguments = job.command.arguments;
  arguments = {self_path(), "coordinator", "--listen", o.listen, "--world", std::to_string(world)};
  auto add = [&](const char* name, const std::string& value) {
    if (!value.empty() && value != "0") arguments.insert(arguments.end(), {name, value});
  };
  add("--max-world", std::to_string(o.max_world));
  add("--min-world", std::to_string(o.min_world));
  add("--suspicion-ms", std::to_string(o.suspicion_ms));
  add("--run-id", o.run_id);
  add("--log", o.log);
  jobs_.push_back(std::move(job));
}

void Supervisor::add_vault(const std::string& coordinator) {
  Job job;
  job.label = "vault";
  job.is_vault = true;
  job.command.merge_output = false;
  auto& arguments = job.command.arguments;
  arguments = {self_path(), "vault", "--run-id", run_id_of(options_), "--coordinator", coordinator};
  auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) arguments.insert(arguments.end(), {name, value});
  };
  if (options_.vault_no_devices) arguments.push_back("--no-devices");
  add("--memory", options_.vault_memory);
  add("--shard-memory", options_.shard_memory);
  add("--host", options_.host);
  add("--rack", options_.rack);
  add("--advertise", options_.advertise);
  jobs_.push_back(std::move(job));
}

void Supervisor::add_peers(const std::string& coordinator) {
  const RunOptions& o = options_;
  const int64_t first_slot = o.join.empty() ? 0 : o.first_slot;
  for (uint32_t i = 0; i < o.peers; ++i) {
    Job job;
    const int64_t slot = first_slot + i;
    job.label =
        first_slot >= 0 ? format("slot %lld", static_cast<long long>(slot)) : format("peer %u", i);
    job.command.arguments = o.command;
    job.command.merge_output = false;
    if (!o.networks.empty()) job.command.network = o.networks[i];
    auto& environment = job.command.environment;
    environment = {{"RHZ_COORDINATOR", coordinator}, {"RHZ_LOCAL_RANK", std::to_string(i)}};
    // Asked for again at a restart; taken by somebody else, any vacant one is given
    // (docs/protocol.md, "Joins").
    if (first_slot >= 0) environment.emplace_back("RHZ_SLOT", std::to_string(slot));
    if (!o.run_id.empty()) environment.emplace_back("RHZ_RUN_ID", o.run_id);
    if (!o.advertise.empty()) environment.emplace_back("RHZ_ADVERTISE", o.advertise);
    if (o.vault) environment.emplace_back("RHZ_VAULT", vault_name_of(o));
    if (o.join.empty() || o.world)
      environment.emplace_back("RHZ_WORLD", std::to_string(o.world ? o.world : o.peers));
    jobs_.push_back(std::move(job));
  }
}

void Supervisor::start(Job& job) {
  auto child = spawn(job.command);
  job.started_ns = monotonic_ns();
  if (child) {
    job.child = std::move(child).value();
    job.state = State::kRunning;
    return;
  }
  // Trying again would not help: no such program, or no more processes.
  say(child.status().text());
  job.state = State::kDone;
  job.wait_status = W_EXITCODE(127, 0);
  if (first_failure_ < 0) first_failure_ = static_cast<int>(&job - jobs_.data());
}

void Supervisor::read(Job& job) {
  const std::string label = job.label;
  const bool from_coordinator = job.is_coordinator;
  std::string address_line;
  auto print = [&](std::string_view line, std::FILE* to) {
    std::fprintf(to, "[%s] %.*s\n", label.c_str(), static_cast<int>(line.size()), line.data());
    if (from_coordinator && line.starts_with(kListening)) address_line = line;
  };
  job.child.out.drain([&](std::string_view line) {
    print(line, stdout);
    if (onlooker_ && job.is_peer()) onlooker_->peer_said(peer_index(job), line);
  });
  std::fflush(stdout);
  job.child.err.drain([&](std::string_view line) { print(line, stderr); });
  if (!address_line.empty()) coordinator_said(address_line);  // the job's place may move
}

void Supervisor::coordinator_said(std::string_view line) {
  if (!coordinator_address_.empty() || stop_signals_ > 0) return;
  const std::string_view rest = line.substr(kListening.size());
  coordinator_address_ = std::string(rest.substr(0, rest.find(' ')));
  // A restarted one must be found where the peers look for it.
  auto& arguments = jobs_.front().command.arguments;
  *(std::find(arguments.begin(), arguments.end(), "--listen") + 1) = coordinator_address_;
  const size_t before = jobs_.size();
  if (options_.vault) add_vault(coordinator_address_);
  add_peers(coordinator_address_);
  for (size_t i = before; i < jobs_.size(); ++i) start(jobs_[i]);
}

bool Supervisor::may_restart(const Job& job) const {
  if (!options_.restart || stop_signals_ > 0 || lost_ || job.restarts >= options_.max_restarts) return false;
  if (!job.is_coordinator) return !job.stopping;
  // Without its log it would be another run's; before it ever listened it cannot.
  return !options_.log.empty() && !coordinator_address_.empty();
}

uint64_t Supervisor::pause_of(const Job& job) const {
  const uint64_t longest = uint64_t{options_.longest_pause_ms} * 1'000'000;
  const bool lived = monotonic_ns() - job.started_ns >= kLongLifeNs;
  return std::min(lived ? kFirstPauseNs : kFirstPauseNs << std::min(job.restarts, 20u), longest);
}

size_t Supervisor::peer_index(const Job& job) const {
  return static_cast<size_t>(std::count_if(jobs_.data(), &job, [](const Job& other) { return other.is_peer(); }));
}

void Supervisor::end_the_lost(const Job& job) {
  if (!std::exchange(lost_, true)) {
    stop_at_ns_ = monotonic_ns() + kLostPatienceNs;
    say(format("%s ended (exit status %d): the run's state is lost, so nobody is started again",
               job.label.c_str(), kLost));
  }
  if (first_failure_ < 0) first_failure_ = static_cast<int>(&job - jobs_.data());
  for (Job& other : jobs_)
    if (other.is_peer() && other.state == State::kPausing) other.state = State::kDone;
}

void Supervisor::ended(Job& job, int wait_status) {
  job.state = State::kDone;
  job.wait_status = wait_status;
  if (job.stopping) return;
  if (onlooker_ && job.is_peer()) job.excused = !onlooker_->peer_ended(peer_index(job), wait_status);
  const bool good = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
  if (good && job.is_peer()) return look_for_founding(job);
  if (job.is_peer() && WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == kLost)
    return end_the_lost(job);
  if (may_restart(job)) {
    const uint64_t pause = pause_of(job);
    job.state = State::kPausing;
    job.start_at_ns = monotonic_ns() + pause;
    ++job.restarts;
    say(format("%s ended (%s); restart %u of %u in %.1f s", job.label.c_str(),
               wait_text(wait_status).c_str(), job.restarts, options_.max_restarts,
               static_cast<double>(pause) / 1e9));
    return;
  }
  std::string text = job.label + " ended (" + wait_text(wait_status) + ")";
  if (job.is_vault) return say(text + "; the peers go on without it, and what it held is lost");
  if (job.is_coordinator && !coordinator_address_.empty()) {
    // The peers do without it until one of them dies or comes; what they make of it is their exit
    // status.
    text += options_.log.empty() ? "; with --log FILE --restart it would be restarted" : "";
    return say(text);
  }
  if (options_.restart && job.restarts >= options_.max_restarts)
    text += format(" and was restarted %u times already", job.restarts);
  say(text);
  if (first_failure_ < 0 && !job.excused) first_failure_ = static_cast<int>(&job - jobs_.data());
  look_for_founding(job);
}

void Supervisor::look_for_founding(const Job& job) {
  if (first_end_ >= 0 || !job.is_peer() || !is_whole_run() || coordinator_address_.empty()) return;
  first_end_ = static_cast<int>(&job - jobs_.data());
  founding_look_at_ns_ = 1;
}

}  // namespace rhz::tools
