// `rhizome vault`: keeps the memory of this host's trainers, or lists what a vault keeps.
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "api/src/reach.h"
#include "api/src/shard_restore.h"
#include "api/src/shard_server.h"
#include "api/tools/child.h"
#include "api/tools/commands.h"
#include "api/tools/text.h"
#include "recovery/vault/client.h"
#include "recovery/vault/holder_process.h"
#include "recovery/vault/server.h"
#include "runtime/base/options.h"
#include "runtime/wire/frame.h"

namespace rhz::tools {
namespace {

using recovery::Holding;
using recovery::StateHeader;

struct VaultOptions {
  std::string run_id, memory, shard_memory;
  std::string coordinator, host, rack, listen, advertise;
  bool list = false;
  bool no_devices = false, be_holder = false;
  int64_t fetch = -1;  // a stage
};

constexpr Duration kListPatience = std::chrono::seconds(2);
constexpr size_t kMostClients = 1024;
constexpr uint32_t kOwnDescriptors = 64;

uint64_t half_of_memory() {
  return static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) / 2 *
         static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
}

// Each block of a trainer is one.  As many as the system allows, less what the sockets need.
uint32_t most_descriptors() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  const uint64_t own = 2 * kMostClients + kOwnDescriptors;
  const uint64_t left = limit.rlim_cur > own ? limit.rlim_cur - own : limit.rlim_cur / 2;
  return static_cast<uint32_t>(std::min<uint64_t>(left, 1u << 20));
}

const char* phase_text(const Holding& holding) {
  switch (holding.verdict) {
    case StateHeader::Verdict::kWhole: return "whole";
    case StateHeader::Verdict::kOpen: return "in-update";
    case StateHeader::Verdict::kUncommitted: return "uncommitted";
    case StateHeader::Verdict::kNoRevision: return "no-revision";
    case StateHeader::Verdict::kUnmarked: return "unmarked";
  }
  return "?";
}

std::string snapshots_text(const Holding& holding) {
  std::string text;
  for (const auto& snapshot : holding.snapshots) {
    text += format("%s%" PRIu64, text.empty() ? "" : ",", snapshot.revision);
    if (snapshot.parts > 1) text += format("(%u/%u)", snapshot.part, snapshot.parts);
  }
  return text.empty() ? "-" : text;
}

int list_holders(const std::string& name, uint64_t run) {
  recovery::VaultClient client(name, run, kListPatience);
  auto list = client.list();
  if (!list) return complain("vault", list.status().text());
  std::printf("%-6s %-9s %-6s %-12s %-9s %-12s %-16s %s\n", "slot", "pid", "alive", "state",
              "revision", "phase", "snapshots", "buffers");
  for (const Holding& h : list.value()) {
    std::printf("%-6u %-9u %-6s %-12s %-9s %-12s %-16s %s\n", h.slot.value, h.pid,
                h.alive ? "yes" : "no", h.kept ? bytes_text(h.kept_bytes).c_str() : "-",
                h.kept ? std::to_string(h.revision).c_str() : "-", h.kept ? phase_text(h) : "-",
                snapshots_text(h).c_str(), bytes_text(h.buffer_bytes).c_str());
  }
  return 0;
}

std::string name_of_host() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 && name[0] ? name : "localhost";
}

// Null where there is no coordinator, and nobody of another host will know of this vault.
Result<std::unique_ptr<ShardServer>> serve_shards(const VaultOptions& o) {
  if (o.coordinator.empty()) return std::unique_ptr<ShardServer>();
  ShardServerOptions options{o.coordinator, o.run_id, o.host.empty() ? name_of_host() : o.host,
                             o.rack,        o.listen, o.advertise, half_of_memory() / 2};
  if (!o.shard_memory.empty()) {
    const auto bytes = parse_bytes(o.shard_memory);
    if (!bytes)
      return Status(Code::kArgument,
                    "--shard-memory: \"" + o.shard_memory + "\" is no size, such as 64GiB");
    options.limit_bytes = *bytes;
  }
  auto server = ShardServer::start(options);
  if (server)
    std::printf("vault: shards at %s host=%s rack=%s memory=%s\n",
                server.value()->address().c_str(), options.host.c_str(),
                options.rack.empty() ? "-" : options.rack.c_str(),
                bytes_text(options.limit_bytes).c_str());
  return server;
}

// Restores a stage into memory, looks whether it is whole, and lets it go: what a trainer would have
// waited for.
int fetch_stage(const VaultOptions& o) {
  if (o.coordinator.empty())
    return complain("vault", "--fetch asks a coordinator: give --coordinator HOST:PORT", kUsage);
  auto coordinator = coordinator_addresses(o.coordinator);
  if (!coordinator) return complain("vault", coordinator.status().text());
  ShardRestoreOptions options;
  options.coordinator = std::move(coordinator).value();
  options.run_id = o.run_id;
  options.stage = static_cast<uint32_t>(o.fetch);
  options.next_source = "a live member of the stage, or a checkpoint";
  auto restored = restore_shards(options);
  if (!restored) return complain("vault", restored.status().text());
  const GenerationRecord& record = restored.value().record;
  const auto seconds = [](Duration d) { return std::chrono::duration<double>(d).count(); };
  const double fetching = seconds(restored.value().fetching);
  std::printf("fetched stage=%u revision=%" PRIu64 " placement=%u bytes=%" PRIu64
              " asking_ms=%.3f fetching_ms=%.3f GBps=%.3f\n",
              record.stage, record.revision, record.placement, record.state_bytes,
              1e3 * seconds(restored.value().asking), 1e3 * fetching,
              static_cast<double>(record.state_bytes) / 1e9 / fetching);
  return 0;
}

int hold_devices() {
  const Status end = recovery::be_device_holder();
  return end ? 0 : complain("vault", end.text());
}

int serve(const VaultOptions& o, const std::string& name, uint64_t run) {
  recovery::VaultServerOptions options;
  options.name = name;
  options.run = run;
  options.clients = kMostClients;
  options.limits.snapshot_bytes = half_of_memory();
  if (!o.memory.empty()) {
    const auto bytes = parse_bytes(o.memory);
    if (!bytes)
      return complain("vault", "--memory: \"" + o.memory + "\" is no size, such as 64GiB", kUsage);
    options.limits.snapshot_bytes = *bytes;
  }
  options.limits.descriptors = most_descriptors();
  if (!o.no_devices) {
    signal(SIGCHLD, SIG_IGN);  // nobody asks how it ended
    options.start_holder = [] {
      return recovery::start_device_holder({"/proc/self/exe", "vault", "--hold-devices"});
    };
  }
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGINT);
  sigaddset(&stop, SIGTERM);
  sigprocmask(SIG_BLOCK, &stop, nullptr);
  const Fd signals(signalfd(-1, &stop, SFD_CLOEXEC));
  auto server = recovery::VaultServer::open(options);
  if (!server) return complain("vault", server.status().text());
  std::printf("vault: listening as %s run=%s memory=%s\n", name.c_str(), o.run_id.c_str(),
              bytes_text(options.limits.snapshot_bytes).c_str());
  // Behind the signals that are blocked: its thread takes none.
  auto shards = serve_shards(o);
  if (!shards)
    return complain("vault", shards.status().text(),
                    shards.status().code() == Code::kArgument ? kUsage : kFailure);
  std::fflush(stdout);
  if (const Status end = server.value().run(signals.get()); !end)
    return complain("vault", end.text());
  std::printf("vault: stopped; what it held is gone\n");
  return 0;
}

}  // namespace

void add_vault(CLI::App& app, int& exit_status) {
  auto o = std::make_shared<VaultOptions>();
  CLI::App* sub = app.add_subcommand(
      "vault",
      "Keeps the memory of this host's trainers, so that it outlives them; runs until SIGINT or\n"
      "SIGTERM.  One for each run, host and user; its memory goes with it.");
  sub->add_option("--run-id", o->run_id,
                  "name of the run (default: $RHZ_RUN_ID, else \"default\")");
  sub->add_option(
      "--memory", o->memory,
      "what it may hold in snapshots, such as 64GiB (default: half of the host's memory)");
  sub->add_option("--coordinator", o->coordinator,
                  "HOST:PORT: hold shards of other hosts' stages too (default: $RHZ_COORDINATOR)");
  sub->add_option("--shard-memory", o->shard_memory,
                  "what it may hold in shards (default: a quarter of the host's memory)");
  sub->add_option("--host", o->host,
                  "the failure domain that it counts as (default: $RHZ_HOST, else the host's name)");
  sub->add_option("--rack", o->rack,
                  "the larger one that the host is part of (default: $RHZ_RACK, else none)");
  sub->add_option("--listen", o->listen,
                  "ADDR[:PORT] for shards (default: the side towards the coordinator)");
  sub->add_option("--advertise", o->advertise, "address that others connect to for shards");
  sub->add_flag("--no-devices", o->no_devices,
                "hold no memory of devices that trainers allocate by themselves (cudaMalloc)");
  sub->add_flag("--hold-devices", o->be_holder, "be who does: started by a vault")->group("");
  sub->add_flag("--list", o->list, "ask the vault that runs: slots, revisions, bytes, phase");
  sub->add_option("--fetch", o->fetch,
                  "restore this stage from the shards of all vaults, say how long it took, and let it "
                  "go")
      ->check(CLI::Range(0, 4095));
  sub->footer(
      "Trainers find it by RHZ_VAULT, the name in its first line; `rhizome run --vault` does all "
      "that.\n"
      "A state (rhz_alloc memory) costs no memory of its own; a snapshot costs twice its size.\n"
      "Of tensors in memory of cudaMalloc a process of its own holds a mapping, which costs a CUDA\n"
      "context on each device and, while the next trainer attaches, the tensors' memory once more;\n"
      "it is started when the first such trainer joins.\n"
      "With --host several vaults of one machine count as several hosts, each with a name of its "
      "own.\n"
      "example: rhizome vault --run-id lm --memory 64GiB\n"
      "         rhizome vault --run-id lm --coordinator 10.0.0.1:7400 --rack r1\n"
      "         rhizome vault --run-id lm --list\n"
      "         rhizome vault --run-id lm --coordinator 10.0.0.1:7400 --fetch 0");
  sub->callback([o, &exit_status] {
    if (o->run_id.empty()) o->run_id = environment("RHZ_RUN_ID").value_or("default");
    if (o->host.empty()) o->host = environment("RHZ_HOST").value_or("");
    if (o->rack.empty()) o->rack = environment("RHZ_RACK").value_or("");
    if (o->coordinator.empty()) o->coordinator = environment("RHZ_COORDINATOR").value_or("");
    const std::string name = recovery::vault_name(o->run_id, o->host);
    const uint64_t run = wire::run_hash(o->run_id);
    exit_status = o->be_holder    ? hold_devices()
                  : o->list       ? list_holders(name, run)
                  : o->fetch >= 0 ? fetch_stage(*o)
                                  : serve(*o, name, run);
  });
}

}  // namespace rhz::tools
