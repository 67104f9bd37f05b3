#include "api/tools/bench_world.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <rhizome/rhizome.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>

#include "api/src/coordinator_config.h"
#include "api/tools/text.h"

namespace rhz::tools {
namespace {

// A dead rank shows by the end of its output; one that lives on without output is looked at so
// often.
constexpr uint64_t kLookNs = 100'000'000;

Command rank_command(const RankOptions& r, const WorldOptions& world) {
  Command command;
  command.arguments = {self_path(),     "bench-rank",
                       "--kind",        r.kind,
                       "--plan",        r.plan,
                       "--slot",        std::to_string(r.slot),
                       "--ranks",       std::to_string(r.ranks),
                       "--before",      std::to_string(r.before),
                       "--after",       std::to_string(r.after),
                       "--dtype",       r.reduction.dtype,
                       "--redop",       r.reduction.redop,
                       "--rebuild",     r.reduction.rebuild,
                       "--coordinator", r.coordinator};
  if (r.reduction.in_place) command.arguments.emplace_back("--in-place");
  if (r.reduction.huge_pages) command.arguments.emplace_back("--huge-pages");
  command.environment = {{"RHZ_RUN_ID", "bench"}, {"RHZ_LOG", world.log_events ? "info" : "warn"},
                         {"RHZ_TRANSPORT", world.transport}};
  return command;
}

}  // namespace

Result<std::unique_ptr<BenchWorld>> BenchWorld::start(const WorldOptions& options) {
  rhz_coordinator_params params{};
  params.struct_size = sizeof params;
  params.run_id = "bench";
  params.world = options.rank.ranks;
  params.suspicion_ms = options.suspicion_ms;
  params.verify = options.verify;
  params.protection = options.protection;
  params.log = options.log.empty() ? nullptr : options.log.c_str();
  CoordinatorOptions config;
  if (Status status = api::coordinator_options(params, config); !status) return status;
  std::unique_ptr<BenchWorld> world(new BenchWorld);
  auto coordinator = CoordinatorDriver::start(config);
  if (!coordinator) return coordinator.status();
  world->coordinator_ = std::move(coordinator).value();
  RankOptions rank = options.rank;
  rank.coordinator = world->coordinator_->address();
  for (rank.slot = 0; rank.slot < rank.ranks; ++rank.slot) {
    auto child = spawn(rank_command(rank, options));
    if (!child) return child.status();
    world->ranks_.push_back({std::move(child).value(), true, 0, 0});
  }
  return world;
}

BenchWorld::~BenchWorld() {
  for (uint32_t r = 0; r < size(); ++r) {
    if (!ranks_[r].alive) continue;
    kill(ranks_[r].child.pid, SIGKILL);
    waitpid(ranks_[r].child.pid, nullptr, 0);
  }
}

bool BenchWorld::any_alive() const {
  return std::any_of(ranks_.begin(), ranks_.end(), [](const Process& p) { return p.alive; });
}

void BenchWorld::signal(uint32_t rank, int signal) {
  if (ranks_[rank].alive) kill(ranks_[rank].child.pid, signal);
}

void BenchWorld::read_all(const OnLine& on_line) {
  for (uint32_t r = 0; r < size(); ++r) {
    Process& process = ranks_[r];
    auto say = [&](std::string_view line) { on_line(r, line); };
    process.child.out.drain(say);
    if (!process.child.out.is_open() && process.gone_ns == 0) process.gone_ns = monotonic_ns();
    if (!process.alive) continue;
    if (waitpid(process.child.pid, &process.wait_status, WNOHANG) != process.child.pid) continue;
    process.alive = false;
    process.child.out.drain(say);
    process.child.out.close();
  }
}

void BenchWorld::pump(uint64_t until_ns, const OnLine& on_line,
                      const std::function<bool()>& wanted) {
  while (true) {
    read_all(on_line);
    const uint64_t now = monotonic_ns();
    if (wanted() || now >= until_ns || !any_alive()) return;
    std::vector<pollfd> fds;
    for (const Process& process : ranks_)
      if (process.child.out.is_open()) fds.push_back({process.child.out.fd(), POLLIN, 0});
    // Rounded down: the caller may wait for an exact moment.
    const auto ms = static_cast<int>(std::min(until_ns - now, kLookNs) / 1'000'000);
    (void)poll(fds.data(), fds.size(), ms);
  }
}

std::string congestion_control() {
  if (const char* set = std::getenv("RHZ_TCP_CONGESTION"); set && *set) return set;
  const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  char name[16] = "";
  socklen_t length = sizeof name;
  if (!fd || getsockopt(fd.get(), IPPROTO_TCP, TCP_CONGESTION, name, &length) != 0)
    return "unknown";
  // What the transport does within a host, where it is permitted.
  if (std::string_view(name).starts_with("bbr") &&
      setsockopt(fd.get(), IPPROTO_TCP, TCP_CONGESTION, "reno", 4) == 0)
    return "reno";
  return name;
}

}  // namespace rhz::tools
