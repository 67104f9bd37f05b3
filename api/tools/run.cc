// `rhizome run`: the options of the supervisor.
#include <CLI/CLI.hpp>

#include "api/tools/commands.h"
#include "api/tools/supervisor.h"
#include "api/tools/text.h"
#include "recovery/vault/socket.h"
#include "runtime/transport/tcp/address.h"

namespace rhz::tools {
namespace {

constexpr uint32_t kMostPeers = 1024;  // of one host
constexpr Duration kVaultPatience = milliseconds(200);

// Peers are told the address as it is: a wrong one shows only when they cannot connect to it.
void check_advertised(const std::string& text) {
  if (text.empty() || tcp::parse_address(text) || text.starts_with('[')) return;
  if (tcp::resolve({text, 0}, tcp::Lookup::kNames)) return;
  complain("run", "this host cannot find \"" + text +
                      "\" of --advertise; the others must, or "
                      "peers are evicted as unreachable");
}

int run_peers(const RunOptions& o, const std::vector<std::string>& unexpected) {
  if (!unexpected.empty()) {
    return complain("run",
                    "unexpected \"" + unexpected.front() +
                        "\"; the program and its arguments come after --, as in `rhizome "
                        "run -n 4 -- ./trainer`",
                    kUsage);
  }
  if (o.command.empty())
    return complain("run", "say what to run after --, as in `rhizome run -n 4 -- ./trainer`",
                    kUsage);
  if (o.join.empty() && o.world && o.world < o.peers)
    return complain("run", "--world must not be below -n: these peers are part of it", kUsage);
  // Each peer would find it out for itself, and be restarted for it.
  const std::string& coordinator = o.join.empty() ? o.listen : o.join;
  if (auto where = tcp::parse_address(coordinator); !where)
    return complain("run", where.status().text(), kUsage);
  check_advertised(o.advertise);
  if (o.vault && recovery::connect_to_vault(vault_name_of(o), kVaultPatience)) {
    return complain("run", "a run \"" + run_id_of(o) +
                               "\" has a vault on this host already: give this one a --run-id of its own");
  }
  return Supervisor(o).run();
}

std::string is_size(const std::string& text) {
  return parse_bytes(text) ? std::string() : "\"" + text + "\" is no size, such as 64GiB";
}

void add_vault_option(CLI::App* sub, RunOptions& o) {
  CLI::Option* vault =
      sub->add_flag("--vault", o.vault,
                    "start a vault for the peers of this host (`rhizome vault --help`); it lives as long "
                    "as they do");
  sub->add_option("--vault-memory", o.vault_memory,
                  "what it may hold in snapshots, such as 64GiB")
      ->needs(vault)
      ->check(is_size);
  sub->add_flag("--vault-no-devices", o.vault_no_devices,
                "it holds no memory of devices that trainers allocate by themselves (cudaMalloc)")
      ->needs(vault);
  sub->add_option("--shard-memory", o.shard_memory, "and in shards of other hosts' stages")
      ->needs(vault)
      ->check(is_size);
  sub->add_option("--host", o.host, "the failure domain that the vault counts as (default: $RHZ_HOST, else "
                                     "the host's name)")
      ->needs(vault);
  sub->add_option("--rack", o.rack, "the larger one that this host is part of (default: $RHZ_RACK)")
      ->needs(vault);
}

}  // namespace

void add_run(CLI::App& app, const std::vector<std::string>& command, int& exit_status) {
  auto o = std::make_shared<RunOptions>();
  CLI::App* sub =
      app.add_subcommand("run",
                         "Starts a coordinator and the peers of this host; prefixes their output.\n"
                         "rhizome run -n N [OPTIONS] -- PROGRAM [ARGUMENTS...]");
  sub->add_option("-n,--peers", o->peers, "peers to start here")
      ->required()
      ->check(CLI::Range(1u, kMostPeers));
  sub->add_flag("--restart", o->restart,
                "start those again that end with a failure, in the same slot; with --log the "
                "coordinator too");
  sub->add_option("--max-restarts", o->max_restarts, "of one slot")->capture_default_str();
  sub->add_option("--longest-pause-ms", o->longest_pause_ms,
                  "before a restart; a peer's first one is 100 ms, and each further one doubles")
      ->capture_default_str();
  CLI::Option* join = sub->add_option("--join", o->join,
                                      "HOST:PORT of a coordinator that runs elsewhere: on each "
                                      "further host");
  sub->add_option("--first-slot", o->first_slot,
                  "with --join: the peers ask for the slots from here on")
      ->needs(join)
      ->check(CLI::NonNegativeNumber);
  sub->add_option("--advertise", o->advertise, "address of this host that other peers connect to");
  sub->add_option("--run-id", o->run_id,
                  "name of the run (default: $RHZ_RUN_ID, else \"default\")");
  sub->add_option("--listen", o->listen, "where the coordinator listens")->capture_default_str();
  sub->add_option("--world", o->world,
                  "peers that the run begins with, on all hosts (default: -n)");
  sub->add_option("--max-world", o->max_world, "slots of the run (default: --world)");
  sub->add_option("--min-world", o->min_world, "with fewer members every op fails (default: 1)");
  sub->add_option("--suspicion-ms", o->suspicion_ms,
                  "silence that makes a peer suspect (default: 1000)");
  sub->add_option("--log", o->log, "the coordinator's decision log (default: in memory)");
  add_vault_option(sub, *o);
  sub->footer(
      "Peers find in their environment RHZ_COORDINATOR, RHZ_SLOT, RHZ_RUN_ID, RHZ_ADVERTISE,\n"
      "RHZ_VAULT, and for their own use RHZ_LOCAL_RANK and RHZ_WORLD.  SIGINT, SIGTERM, SIGHUP, SIGUSR1 and\n"
      "SIGUSR2 are passed on; a second SIGINT or SIGTERM kills all.  Exit status: 0 when all "
      "ended\n"
      "well in the end, else that of the first to fail.  A peer that ends with 65 says that nothing "
      "gives the\n"
      "run's state back: nobody is started again.\n"
      "example: rhizome run -n 4 --restart --log ./run.log -- ./trainer --data text\n"
      "on another host: rhizome run -n 4 --join HOST:7400 --advertise ADDR -- ./trainer");
  sub->allow_extras();
  sub->callback([o, sub, &command, &exit_status] {
    o->command = command;
    exit_status = run_peers(*o, sub->remaining());
  });
}

}  // namespace rhz::tools
