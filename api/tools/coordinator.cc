// `rhizome coordinator`: runs one in the foreground until it is told to stop.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <thread>

#include "api/src/coordinator_config.h"
#include "api/src/coordinator_driver.h"
#include "api/tools/commands.h"
#include "api/tools/status_client.h"
#include "api/tools/text.h"

namespace rhz::tools {
namespace {

// Silence that makes a peer suspect: docs/protocol.md, "Time".
constexpr uint32_t kLanSuspicionMs = 1000, kWanSuspicionMs = 5000;

struct Options {
  std::string listen = "127.0.0.1:7400", log, run_id, profile = "lan";
  rhz_coordinator_params params{};
};

// Takes SIGINT and SIGTERM while it lives.  Made before other threads, so that they have the
// signals blocked too.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  }
  void watch(CoordinatorDriver& driver) {
    thread_ = std::thread([this, &driver] {
      sigwait(&set_, &signal_);
      driver.ask_stop();
    });
  }
  // The signal that came, or 0 when the driver ended by itself.
  int finish(bool by_itself) {
    if (by_itself) pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
    return by_itself ? 0 : signal_;
  }

 private:
  sigset_t set_{};
  int signal_ = 0;
  std::thread thread_;
};

// What this coordinator found in its log, told by itself.
std::string resumed_text(const std::string& address) {
  auto client = StatusClient::open(address);
  if (!client) return "epoch=?";
  auto reply = client.value()->ask(std::chrono::seconds(2));
  if (!reply) return "epoch=?";
  const StatusReply& r = reply.value();
  return format("run=%s world=%u max_world=%u epoch=%llu resumed=%s", r.config.run_id.c_str(),
                r.config.world, r.config.max_world,
                static_cast<unsigned long long>(r.view.epoch.value),
                r.term > Term(1) ? "yes" : "no");
}

// The address by which a process of this host reaches a listener.
std::string reachable(const std::string& listening) {
  auto where = tcp::parse_address(listening);
  if (!where) return listening;
  const std::string& host = where.value().host;
  if (host == "::" || host.empty()) return tcp::address_text("::1", where.value().port);
  if (host == "0.0.0.0") return tcp::address_text("127.0.0.1", where.value().port);
  return listening;
}

int run_coordinator(Options& o) {
  o.params.struct_size = sizeof o.params;
  o.params.listen = o.listen.c_str();
  o.params.log = o.log.empty() ? nullptr : o.log.c_str();
  o.params.run_id = o.run_id.empty() ? nullptr : o.run_id.c_str();
  if (o.params.suspicion_ms == 0)
    o.params.suspicion_ms = o.profile == "wan" ? kWanSuspicionMs : kLanSuspicionMs;
  CoordinatorOptions options;
  if (Status status = api::coordinator_options(o.params, options); !status)
    return complain("coordinator", status.text(), kUsage);
  (void)::signal(SIGXFSZ, SIG_IGN);  // a limit of file sizes is met by an append that fails, as a full disk is
  StopSignals signals;
  auto driver = CoordinatorDriver::start(options);
  if (!driver)
    return complain("coordinator", driver.status().text(),
                    driver.status().code() == Code::kArgument ? kUsage : kFailure);
  CoordinatorDriver& running = *driver.value();
  signals.watch(running);
  std::printf("coordinator: listening on %s %s log=%s\n", running.address().c_str(),
              resumed_text(reachable(running.address())).c_str(),
              o.log.empty() ? "memory" : o.log.c_str());
  std::fflush(stdout);
  const Status end = running.wait();
  const int signal = signals.finish(!end.is_ok());
  if (!end.is_ok()) {
    return complain("coordinator", "stopped: " + end.text() +
                                       "; nothing undecided was told to anybody: start it again "
                                       "once that is mended");
  }
  std::printf("coordinator: stopped by %s\n", signal == SIGINT ? "SIGINT" : "SIGTERM");
  return 0;
}

}  // namespace

void add_coordinator(CLI::App& app, int& exit_status) {
  auto o = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand(
      "coordinator", "Decides who is a member of a run; runs until SIGINT or SIGTERM.");
  sub->add_option("--listen", o->listen, "HOST:PORT or [V6]:PORT; port 0 takes a free one")
      ->capture_default_str();
  sub->add_option("--log", o->log,
                  "decision log; a coordinator started again on it goes on where it ended "
                  "(default: in memory)");
  sub->add_option("--world", o->params.world, "peers that the run begins with")->required();
  sub->add_option("--max-world", o->params.max_world, "slots of the run (default: --world)");
  sub->add_option("--min-world", o->params.min_world,
                  "with fewer members every op fails (default: 1)");
  sub->add_option("--run-id", o->run_id,
                  "peers of another run are refused (default: $RHZ_RUN_ID, "
                  "else \"default\")");
  sub->add_option("--suspicion-ms", o->params.suspicion_ms,
                  "silence that makes a peer suspect (default: by --profile)");
  sub->add_option("--profile", o->profile, "lan: 1000 ms; wan: 5000 ms")
      ->check(CLI::IsMember({"lan", "wan"}))
      ->capture_default_str();
  sub->footer("example: rhizome coordinator --listen 127.0.0.1:7400 --log ./run.log --world 4");
  sub->callback([o, &exit_status] { exit_status = run_coordinator(*o); });
}

}  // namespace rhz::tools
