// `rhizome status`: asks a coordinator, prints; once, or once a second.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "api/tools/commands.h"
#include "api/tools/status_client.h"
#include "api/tools/status_print.h"

namespace rhz::tools {
namespace {

constexpr Duration kStatusPatience =
    milliseconds(1800);  // the command answers within 2 s, or says why not
// Between the two looks from which rates are made: several heartbeats of the default profile.
constexpr Duration kRateWindow = milliseconds(500);
constexpr Duration kWatchPause = milliseconds(1000);

struct StatusOptions {
  std::string coordinator, run_id;
  bool watch = false, json = false;
};

// Lets the time pass; false when SIGINT or SIGTERM came meanwhile.
bool pause_for(Duration duration) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  const auto ns = duration.count();
  const timespec time{static_cast<time_t>(ns / 1'000'000'000),
                      static_cast<long>(ns % 1'000'000'000)};
  int got = 0;
  do got = sigtimedwait(&set, nullptr, &time);
  while (got < 0 && errno == EINTR);
  return got < 0;
}

void block_stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, nullptr);
}

Status check_run(const StatusReply& reply, const std::string& run_id) {
  if (run_id.empty() || reply.config.run_id == run_id) return Status::ok();
  return {Code::kRunId, "this coordinator serves the run \"" + reply.config.run_id + "\", not \"" +
                            run_id + "\"; check --run-id"};
}

void print(const StatusClient& client, const StatusReply& reply, const Rates& rates,
           const StatusOptions& o, bool redraw) {
  const Generations generations = newest_of(client.generations());
  const auto show = o.json              ? status_json
                    : redraw || !o.watch ? status_table
                                         : status_line;
  const std::string text = show(reply, generations, rates);
  if (redraw) std::fputs("\033[H\033[2J", stdout);
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

int watch(StatusClient& client, const StatusOptions& o, RateMeter& meter) {
  const bool terminal = isatty(STDOUT_FILENO) && !o.json;
  while (pause_for(kWatchPause) && !std::ferror(stdout)) {
    auto reply = client.ask(kStatusPatience);
    if (!reply) {  // it may be restarting: the run goes on without it
      std::printf("%s\n", reply.status().text().c_str());
      std::fflush(stdout);
      continue;
    }
    print(client, reply.value(), meter.look(reply.value(), monotonic_ns()), o, terminal);
  }
  return 0;
}

int run_status(const StatusOptions& o) {
  std::string where = o.coordinator;
  if (where.empty())
    if (const char* set = std::getenv("RHZ_COORDINATOR")) where = set;
  if (where.empty()) where = "127.0.0.1:7400";
  block_stop_signals();
  auto client = StatusClient::open(where);
  if (!client)
    return complain("status", client.status().text(),
                    client.status().code() == Code::kArgument ? kUsage : kFailure);
  auto first = client.value()->ask(kStatusPatience);
  if (!first) return complain("status", first.status().text());
  if (Status wrong = check_run(first.value(), o.run_id); !wrong)
    return complain("status", wrong.text());
  RateMeter meter;
  (void)meter.look(first.value(), monotonic_ns());
  if (!pause_for(kRateWindow)) return 0;
  auto second = client.value()->ask(kStatusPatience);
  if (!second) return complain("status", second.status().text());
  print(*client.value(), second.value(), meter.look(second.value(), monotonic_ns()), o,
        o.watch && !o.json && isatty(STDOUT_FILENO));
  return o.watch ? watch(*client.value(), o, meter) : 0;
}

}  // namespace

void add_status(CLI::App& app, int& exit_status) {
  auto o = std::make_shared<StatusOptions>();
  CLI::App* sub = app.add_subcommand("status", "Shows a run: the view, ops, rates, vaults, protected stages, last faults.");
  sub->add_option("--coordinator", o->coordinator,
                  "HOST:PORT (default: $RHZ_COORDINATOR, else 127.0.0.1:7400)");
  sub->add_option("--run-id", o->run_id, "fails when the coordinator serves another run");
  sub->add_flag("--watch", o->watch, "again each second, until interrupted");
  sub->add_flag("--json", o->json, "one object per look");
  sub->footer(
      "A protected stage stands the loss of so many more hosts with vaults, whichever they are.\n"
      "example: rhizome status --coordinator 127.0.0.1:7400 --watch\n"
      "         rhizome status --json | jq '.generations[] | {stage, revision, lost, "
      "stands_hosts}'");
  sub->callback([o, &exit_status] { exit_status = run_status(*o); });
}

}  // namespace rhz::tools
