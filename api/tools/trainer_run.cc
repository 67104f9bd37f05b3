#include "api/tools/trainer_run.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "api/tools/text.h"

namespace rhz::tools {
namespace {

constexpr uint64_t kLookNs = 100'000'000;  // between two looks whether it has ended
constexpr size_t kMostOtherLines = 6;      // that are kept
constexpr int kStopPatienceMs = 3000;      // from SIGTERM to SIGKILL

constexpr const char* kShards = "2+1";  // any one host may die

std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

// Runs of several benchmarks, and several of one.
std::string next_run_id() {
  static int runs = 0;
  return format("bench-%d-%d", static_cast<int>(getpid()), ++runs);
}

}  // namespace

Result<std::string> find_trainer(const std::string& given) {
  const std::string beside = folder_of(folder_of(self_path())) + "/examples/pipeline_lm";
  const std::string& path = given.empty() ? beside : given;
  if (access(path.c_str(), X_OK) == 0) return path;
  if (!given.empty())
    return Status(Code::kArgument, "\"" + given + "\" of --trainer is no program that can be run");
  const char* const all = getenv("PATH");
  for (const std::string& folder : split(all ? all : "", ':'))
    if (access((folder + "/pipeline_lm").c_str(), X_OK) == 0) return folder + "/pipeline_lm";
  return Status(Code::kArgument,
                "there is no pipeline_lm beside this program, nor in PATH: name it with --trainer");
}

Result<std::unique_ptr<TrainerRun>> TrainerRun::start(const TrainerOptions& o) {
  const uint32_t world = o.stages * o.replicas;
  const std::string run_id = next_run_id();
  std::unique_ptr<TrainerRun> run(new TrainerRun);
  run->stages_ = o.stages;
  Command command;
  auto add = [&](const std::vector<std::string>& more) {
    command.arguments.insert(command.arguments.end(), more.begin(), more.end());
  };
  add({self_path(), "run", "-n", std::to_string(world), "--restart", "--max-restarts", "1000000",
       "--longest-pause-ms", "0", "--run-id", run_id});
  command.environment = {{"RHZ_LOG", o.log_events ? "info" : "warn"}};
  if (o.shards) {
    auto hosts = HostVaults::start(run_id, world, world);
    if (!hosts) return hosts.status();
    run->hosts_ = std::move(hosts).value();
    add({"--join", run->hosts_->coordinator(), "--first-slot", "0"});
    command.environment.emplace_back("RHZ_SHARDS", kShards);
  } else {
    add({"--vault"});
  }
  add({"--", o.trainer, "--stages", std::to_string(o.stages), "--replicas",
       std::to_string(o.replicas)});
  add(o.arguments);
  auto child = spawn(command);
  if (!child) return child.status();
  run->child_ = std::move(child).value();
  return run;
}

TrainerRun::~TrainerRun() {
  if (!alive_) return;
  const OnLine ignore = [](uint32_t, std::string_view) {};
  // In order, so that the vault and the peers end too.
  ::kill(child_.pid, SIGTERM);
  pump(monotonic_ns() + uint64_t{kStopPatienceMs} * 1'000'000, ignore, [] { return false; });
  if (!alive_) return;
  ::kill(child_.pid, SIGKILL);
  waitpid(child_.pid, nullptr, 0);
}

// "[slot 3] text" is a peer's.
void TrainerRun::hear(std::string_view line, const OnLine& on_line) {
  constexpr std::string_view kPeer = "[slot ";
  uint32_t slot = 0;
  const size_t end = line.find("] ");
  const bool is_peer =
      line.starts_with(kPeer) && end != std::string_view::npos &&
      std::from_chars(line.data() + kPeer.size(), line.data() + end, slot).ec == std::errc();
  if (!is_peer || line.substr(end + 2).starts_with("pipeline_lm:")) {
    other_lines_.emplace_back(line);
    if (other_lines_.size() > kMostOtherLines) other_lines_.erase(other_lines_.begin());
  }
  if (!is_peer) return;
  line.remove_prefix(end + 2);
  if (line.starts_with("joined ")) pids_[slot] = static_cast<pid_t>(whole(line, "pid"));
  on_line(slot, line);
}

void TrainerRun::pump(uint64_t until_ns, const OnLine& on_line,
                      const std::function<bool()>& wanted) {
  for (uint64_t now = monotonic_ns(); alive_ && now < until_ns && !wanted(); now = monotonic_ns()) {
    pollfd fd{child_.out.fd(), POLLIN, 0};
    const uint64_t wait_ns = std::min(until_ns - now, kLookNs);
    if (child_.out.is_open()) {
      (void)poll(&fd, 1, static_cast<int>(wait_ns / 1'000'000));
      child_.out.drain([&](std::string_view line) { hear(line, on_line); });
    }
    if (hosts_) hosts_->drain();
    if (waitpid(child_.pid, &wait_status_, WNOHANG) != child_.pid) continue;
    alive_ = false;
    child_.out.drain([&](std::string_view line) { hear(line, on_line); });
  }
}

bool TrainerRun::kill(uint32_t slot) {
  const auto at = pids_.find(slot);
  if (at == pids_.end()) return false;
  const bool sent = ::kill(at->second, SIGKILL) == 0;
  pids_.erase(at);
  return sent;
}

bool TrainerRun::kill_host(uint32_t slot) {
  const bool sent = kill(slot);
  if (hosts_) hosts_->kill(slot);
  return sent;
}

std::string TrainerRun::last_words() const {
  std::string all;
  for (const std::string& line : other_lines_) all += "\n  " + line;
  return all;
}

}  // namespace rhz::tools
