// `rhizome chaos`: a user's own trainers under faults.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "api/tools/chaos_run.h"
#include "api/tools/commands.h"
#include "api/tools/lan.h"
#include "api/tools/temp_folder.h"
#include "api/tools/text.h"

namespace rhz::tools {
namespace {

constexpr uint32_t kMostChaosPeers = 64;  // of one host
constexpr uint32_t kLongestPauseMs = 500;
constexpr int kNotPermitted = 77;  // as CTest has it

struct CommandLine {
  ChaosOptions chaos;
  RunOptions run;
  std::string kinds, required;
  bool hosts = false;
};

// "KIND[=N],…".  Empty; or what is wrong with it.
std::string read_required(CommandLine& line) {
  for (const std::string& part : line.required.empty() ? std::vector<std::string>() : split(line.required, ',')) {
    const size_t equals = part.find('=');
    const std::string name = part.substr(0, equals), count = equals == part.npos ? "1" : part.substr(equals + 1);
    if (!fault_of(name) && name != kStrangers) return "--require: there is no fault \"" + name + "\"; there are " + fault_names(true) + ", and " + kStrangers;
    if (count.empty() || count.size() > 18 || count.find_first_not_of("0123456789") != count.npos) return "--require: \"" + part + "\" takes a number behind =";
    line.chaos.required[name] = std::strtoull(count.c_str(), nullptr, 10);
  }
  return {};
}

int run_chaos(CommandLine& line, const std::vector<std::string>& unexpected) {
  if (!unexpected.empty() || line.run.command.empty())
    return complain("chaos", "say what to run after --, as in `rhizome chaos -n 4 --seed 7 -- ./trainer`", kUsage);
  if (line.kinds.empty()) line.chaos.kinds = all_faults(line.hosts);
  for (const std::string& name : line.kinds.empty() ? std::vector<std::string>() : split(line.kinds, ',')) {
    const auto kind = fault_of(name);
    if (!kind) return complain("chaos", "there is no fault \"" + name + "\"; there are " + fault_names(true), kUsage);
    if (is_of_network(*kind) && !line.hosts) return complain("chaos", "\"" + name + "\" takes --hosts", kUsage);
    line.chaos.kinds.push_back(*kind);
  }
  if (const std::string wrong = read_required(line); !wrong.empty()) return complain("chaos", wrong, kUsage);
  TempFolder folder;
  if (!folder.good()) return complain("chaos", "cannot make a folder for the coordinator's log (TMPDIR)");
  if (!line.chaos.seed) line.chaos.seed = random_u64() % 1'000'000;
  RunOptions& run = line.run;
  line.chaos.peers = run.peers;
  run.suspicion_ms = line.chaos.suspicion_ms;
  run.restart = true;
  run.max_restarts = UINT32_MAX;
  run.longest_pause_ms = kLongestPauseMs;
  run.log = line.chaos.log = folder.file("chaos.log");
  line.chaos.run_id = run_id_of(run);
  (void)::setenv("RHZ_VERIFY", "all", 0);  // wrong bits are to be noticed
  std::unique_ptr<Lan> lan;
  if (line.hosts) {
    auto made = Lan::make(run.peers + 1, line.chaos.seed);
    if (!made) return complain("chaos", "network namespaces with TUN devices are not permitted here: " + made.status().text(), kNotPermitted);
    lan = std::move(made).value();
    for (uint32_t i = 0; i < run.peers; ++i) run.networks.push_back(lan->network_of(i + 1));
    run.listen = Lan::address_of(0) + ":0";
    line.chaos.lan = lan.get();
  }
  ChaosRun chaos(line.chaos);
  const int status = chaos.report(Supervisor(run, &chaos).run());
  if (chaos.has_found()) {
    chaos.ledger().write(folder.file("ledger.txt"));
    std::fprintf(stderr, "rhizome chaos: the coordinator's log, and the newest of the ledger, are kept in %s\n", folder.path().c_str());
    folder.keep();
  }
  return status;
}

}  // namespace

void add_chaos(CLI::App& app, const std::vector<std::string>& command, int& exit_status) {
  auto line = std::make_shared<CommandLine>();
  CLI::App* sub = app.add_subcommand("chaos",
                                     "Runs your own trainers under faults, and tells what they made of them.\n"
                                     "rhizome chaos -n N [OPTIONS] -- PROGRAM [ARGUMENTS...]");
  sub->add_option("-n,--peers", line->run.peers, "peers to start here")->required()->check(CLI::Range(2u, kMostChaosPeers));
  sub->add_option("--seed", line->chaos.seed, "of the faults: which, when, whom, for how long (default: a random one, which is printed)");
  sub->add_option("--minutes", line->chaos.minutes, "of faults")->capture_default_str()->check(CLI::Range(0.01, 100'000.0));
  sub->add_option("--every-s", line->chaos.every_s, "seconds between two faults, on average")->capture_default_str()->check(CLI::Range(0.05, 3600.0));
  sub->add_flag("--hosts", line->hosts, "each peer on a host of its own, a network namespace, and faults of the network between them");
  sub->add_option("--faults", line->kinds, "with commas: " + fault_names(true) + " (default: all, those from blip on with --hosts)");
  sub->add_option("--stall-s", line->chaos.stall_s, "a peer that ends no op for so long hangs; longer than your longest step")
      ->capture_default_str()
      ->check(CLI::Range(1.0, 3600.0));
  sub->add_option("--op-bound-s", line->chaos.op_bound_s,
                  "an op of a ledger line that took longer is a finding, beside the time that this peer was held and that without a coordinator\n"
                  "(default: --stall-s and two suspicion times)")
      ->check(CLI::Range(0.001, 86'400.0));
  sub->add_option("--require", line->required,
                  "KIND[=N], with commas: what has to have struck so often (1), and \"strangers\" whose cost in memory was looked at; there are faults until then,\n"
                  "for ten times --minutes at most, and with less than that the exit status is 1");
  sub->add_option("--suspicion-ms", line->chaos.suspicion_ms, "silence that makes a peer suspect")
      ->capture_default_str()
      ->check(CLI::Range(100u, 60'000u));
  sub->add_option("--run-id", line->run.run_id, "name of the run (default: $RHZ_RUN_ID, else \"default\")");
  sub->footer(
      "kill: SIGKILL of a peer.  kill-several: of more at once; one stays.  pause: SIGSTOP for up to half of the suspicion time.\n"
      "freeze: SIGSTOP for one and a half to four times that, now and then up to twenty.  slow: a peer gets a twentieth of the time.  reset: TCP connections of a peer\n"
      "end (without --hosts that takes root, and ss of iproute2).  coordinator: SIGKILL of it; it is started again on its log.\n"
      "kill-joiners: SIGKILL of peers that are not members yet.  Peers that end are started again in their slot, as by `rhizome run --restart`.\n"
      "garbage: strangers at the ports of peers and of the coordinator, hundreds at once, say nonsense, announce what never comes, ask and do not\n"
      "listen; a process that grows by more than 16 MiB by them is a finding.  descriptors: a peer, or the coordinator, can open no more files\n"
      "for a while, with strangers at its port.  memory: a peer gets at most 8 MiB more; it may fail, and abort.  full-disk: the coordinator's\n"
      "log cannot grow; it ends, and is started again on it.\n"
      "blip: a peer is cut off for a moment.  partition: several peers are cut off.  one-way: a peer hears nothing, or is not heard.\n"
      "edge: two peers do not hear each other, or one not the other.  flip-flop: a peer is cut off and is not, in turns.  narrow: a peer's\n"
      "line has 1 Mbit/s.  rough: delays up to 300 ms, packets that overtake each other, up to 5 % lost.  cut-coordinator: nobody reaches it.\n"
      "flips: bits flip in what a peer sends and gets, so that checksums of TCP do not fit, and in headers of frames, so that they do.\n"
      "All results are compared bit by bit between the peers (RHZ_VERIFY=all, unless you set it).  At the end every peer has to be back.\n"
      "Exit status: 0 when no peer hung, none was evicted falsely and none failed by itself, no restarted coordinator had lost a decision and the\n"
      "view did not change for no reason; 1 otherwise, with the stacks of a hang, and a folder with the coordinator's log and the ledger is kept;\n"
      "3 when somebody else killed a peer, or this machine stood still before an eviction, or gave that peer no core; 77 when --hosts is not permitted here (root, or user namespaces; /dev/net/tun).\n"
      "The same seed strikes at the same times; what it meets there depends on how the processes run.\n"
      "example: rhizome chaos --seed 7 --minutes 5 -n 4 -- ./trainer --data text\n"
      "over a network that fails: rhizome chaos --hosts --seed 7 --minutes 5 -n 4 -- ./trainer\n"
      "only deaths, four a second: rhizome chaos --faults kill,kill-several --every-s 0.25 -n 4 -- ./trainer");
  sub->allow_extras();
  sub->callback([line, sub, &command, &exit_status] {
    line->run.command = command;
    exit_status = run_chaos(*line, sub->remaining());
  });
}

}  // namespace rhz::tools
