#include "bench/perf/contenders.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace rhz::perf {
namespace {

using Words = std::vector<std::string>;

// Ours again, with another run configuration: what it costs.  They take part when they are named.
struct Mode {
  const char* suffix;
  uint32_t verify, protection;
};
constexpr std::array kModes = {
    Mode{"", RHZ_VERIFY_DEFAULT, RHZ_PROTECTION_DEFAULT},
    Mode{"+unprotected", RHZ_VERIFY_OFF, RHZ_PROTECTION_OFF},
    Mode{"+verify-off", RHZ_VERIFY_OFF, RHZ_PROTECTION_ON},
    Mode{"+verify-sampled", RHZ_VERIFY_SAMPLED, RHZ_PROTECTION_ON},
    Mode{"+verify-all", RHZ_VERIFY_ALL, RHZ_PROTECTION_ON},
};

// What a start function gets.
struct Start {
  const Settings& settings;
  const struct Kind& kind;
  const Mode& mode;
  const std::string& scratch;  // folder of this group alone
  Contender& contender;        // with an empty group

  RankGroup& group() const { return *contender.group; }
  int world() const { return contender.group->world(); }
};

struct Kind {
  const char* name;
  const char* transport;
  const char* program;  // beside this one
  const char* variant;  // what its start function makes of it
  void (*start)(const Start&);
};

std::string joined(const Words& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

void append(Words& words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
}

// Runs `words` as a rank: in its namespace, where there is one.
Words placed(const Network& network, int rank, const Words& words) {
  if (!network.on()) return words;
  Words all = {"ip", "netns", "exec", network.prefix + std::to_string(rank)};
  append(all, words);
  return all;
}

std::string address_of(const Network& network, int rank) {
  return network.on() ? network.address(rank) : "127.0.0.1";
}

std::shared_ptr<rhz_coordinator> start_coordinator(const Settings& settings, const Mode& mode,
                                                   int world) {
  const std::string listen =
      (settings.network.on() ? settings.network.own_address : "127.0.0.1") + ":0";
  rhz_coordinator_params params{};
  params.struct_size = sizeof params;
  params.listen = listen.c_str();
  params.run_id = "perf";
  params.world = static_cast<uint32_t>(world);
  // Peers that spin on all cores may starve a sleeping rank of ours: that is not a dead rank.
  params.suspicion_ms = 30'000;
  params.verify = mode.verify;
  params.protection = mode.protection;
  rhz_coordinator* started = nullptr;
  if (rhz_coordinator_start(&params, &started) != RHZ_OK) {
    std::fprintf(stderr, "perf_compare: coordinator: %s\n", rhz_last_error());
    return nullptr;
  }
  return {started, rhz_coordinator_stop};
}

void start_ours(const Start& s) {
  s.contender.coordinator = start_coordinator(s.settings, s.mode, s.world());
  if (!s.contender.coordinator) return s.group().give_up("no coordinator");
  const std::string transport = std::string("RHZ_TRANSPORT=") + s.kind.transport;
  s.contender.forced =
      transport + ", rebuild " + s.settings.rebuild + (s.settings.alloc ? ", rhz_alloc" : "");
  if (*s.mode.suffix) s.contender.forced += std::string(", ") + (s.mode.suffix + 1);
  for (int i = 0; i < s.world(); i++) {
    const std::string address = rhz_coordinator_address(s.contender.coordinator.get());
    // Slot by namespace: the slots' order is the ring's.
    const Words environment = {"RHZ_COORDINATOR=" + address, "RHZ_RUN_ID=perf", transport,
                               "RHZ_SLOT=" + std::to_string(i)};
    s.group().start(placed(s.settings.network, i,
                           {own_folder() + s.kind.program, s.group().socket_path(),
                            s.settings.rebuild, s.settings.alloc ? "alloc" : "ordinary"}),
                    environment);
  }
}

// "ADDRESS,ADDRESS,…": a host for each rank.
std::string hosts_of(const Network& network, int world) {
  std::string text;
  for (int i = 0; i < world; i++) text += (i == 0 ? "" : ",") + network.address(i);
  return text;
}

void start_openmpi(const Start& s) {
  const Network& network = s.settings.network;
  const std::string lan = network.on() ? network.subnet + ".0/24" : "lo";
  Words options = {
      "--allow-run-as-root", "--oversubscribe", "--mca", "pml", "ob1", "--mca", "btl",
      s.kind.variant, "--mca", "btl_tcp_if_include", lan, "--mca", "oob_tcp_if_include", lan,
      // It polls; it has to yield where ranks share cores, and must not where they do not.
      "--mca", "mpi_yield_when_idle", s.world() > cores() ? "1" : "0"};
  if (network.on()) {
    append(options,
           {"--mca", "plm_rsh_agent", network.agent, "--host", hosts_of(network, s.world())});
  }
  append(options, s.settings.mpi_arguments);
  Words words = {"mpirun.openmpi", "-n", std::to_string(s.world())};
  append(words, options);
  append(words, {own_folder() + s.kind.program, s.group().socket_path()});
  s.contender.forced = joined(options);
  s.group().start(words, {});
}

void start_mpich(const Start& s) {
  const Network& network = s.settings.network;
  // Debian's MPICH goes through UCX also inside a host. One that has its own shared memory switched
  // on would take that first: NOLOCAL makes every rank remote.
  Words environment = {"UCX_TLS=self,posix,sysv,cma"};
  if (s.kind.transport == std::string("tcp")) {
    environment = {"MPIR_CVAR_NOLOCAL=1", "UCX_TLS=tcp,self",
                   "UCX_NET_DEVICES=" + (network.on() ? network.interface : "lo")};
  }
  Words words = {"mpirun.mpich", "-n", std::to_string(s.world())};
  if (network.on()) {
    append(words, {"-launcher", "ssh", "-launcher-exec", network.agent, "-localhost",
                   network.own_address, "-hosts", hosts_of(network, s.world())});
  }
  append(words, {own_folder() + s.kind.program, s.group().socket_path()});
  s.contender.forced = joined(environment);
  s.group().start(words, environment);
}

void start_gloo(const Start& s) {
  s.contender.forced = "its only transport";
  for (int i = 0; i < s.world(); i++) {
    s.group().start(placed(s.settings.network, i,
                           {own_folder() + s.kind.program, s.group().socket_path(),
                            std::to_string(i), std::to_string(s.world()), s.scratch,
                            address_of(s.settings.network, i), s.kind.variant}),
                    {});
  }
}

void start_python(const Start& s) {
  s.contender.forced = "its only transport";
  for (int i = 0; i < s.world(); i++) {
    s.group().start(
        placed(s.settings.network, i,
               {s.settings.python, own_folder() + s.kind.program, s.kind.variant,
                own_folder() + "libperf_rank_shared.so", s.group().socket_path(), std::to_string(i),
                std::to_string(s.world()), s.scratch, address_of(s.settings.network, i)}),
        {"OMP_NUM_THREADS=1", "PCCL_LOG_LEVEL=FATAL"});
  }
}

const std::array kKinds = {
    Kind{"ours-tcp", "tcp", "perf_ours", "", start_ours},
    Kind{"ours-shm", "shm", "perf_ours", "", start_ours},
    Kind{"ours-ucx", "ucx", "perf_ours", "", start_ours},
    Kind{"ours-ofi", "ofi", "perf_ours", "", start_ours},
    Kind{"openmpi-tcp", "tcp", "perf_peer_openmpi", "tcp,self", start_openmpi},
    Kind{"openmpi-shm", "shm", "perf_peer_openmpi", "vader,self", start_openmpi},
    Kind{"mpich-tcp", "tcp", "perf_peer_mpich", "", start_mpich},
    Kind{"mpich-shm", "shm", "perf_peer_mpich", "", start_mpich},
    Kind{"gloo-ring", "tcp", "perf_peer_gloo", "ring", start_gloo},
    Kind{"gloo-chunked", "tcp", "perf_peer_gloo", "ring-chunked", start_gloo},
    Kind{"gloo-halving", "tcp", "perf_peer_gloo", "halving-doubling", start_gloo},
    Kind{"torch-gloo", "tcp", "peer_python.py", "torch", start_python},
    Kind{"pccl", "tcp", "peer_python.py", "pccl", start_python},
};

struct Candidate {
  std::string name;
  const Kind* kind;
  const Mode* mode;
};

// In the order of the table.
std::vector<Candidate> candidates() {
  std::vector<Candidate> all;
  for (const Kind& kind : kKinds)
    for (const Mode& mode : kModes)
      if (kind.start == start_ours || !*mode.suffix)
        all.push_back({std::string(kind.name) + mode.suffix, &kind, &mode});
  return all;
}

std::string missing_of(const Settings& settings, const Kind& kind) {
  const std::string transport = kind.transport;
  if (settings.network.on() && transport == "shm") return "no network's transport";
  if ((transport == "ucx" || transport == "ofi") &&
      !std::strstr(rhz_build_info(), ("," + transport).c_str()))
    return "not in this build";
  if (kind.start == start_python) {
    std::string said =
        output_of({settings.python, own_folder() + kind.program, "probe", kind.variant});
    said.erase(said.find_last_not_of('\n') + 1);
    if (said == "ready") return "";
    return settings.python + ": " + (said.empty() ? "does not run" : said);
  }
  if (::access((own_folder() + kind.program).c_str(), X_OK) == 0) return "";
  return std::string(kind.program) + " is not built: its package was missing";
}

Contender start(const Settings& settings, const Candidate& candidate, int world,
                const std::string& scratch) {
  const std::string own = scratch + "/" + candidate.name + "-" + std::to_string(world);
  std::error_code error;
  std::filesystem::create_directory(own, error);
  Contender one;
  one.name = candidate.name;
  one.transport = candidate.kind->transport;
  one.group = std::make_shared<RankGroup>(world, own + "/socket");
  candidate.kind->start({settings, *candidate.kind, *candidate.mode, own, one});
  one.group->gather();
  return one;
}

}  // namespace

std::string own_folder() {
  std::array<char, 4096> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  const std::string text(path.data(), length > 0 ? static_cast<size_t>(length) : 0);
  return text.substr(0, text.rfind('/') + 1);
}

int cores() { return static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)); }

std::vector<Known> known_contenders(const Settings& settings) {
  std::vector<Known> all;
  for (const auto& [name, kind, mode] : candidates()) {
    const bool on_request = *mode->suffix != 0;
    const bool wanted = settings.wants(name, kind->transport) && (!on_request || !settings.contenders.empty());
    all.push_back({name, kind->transport, on_request, wanted, wanted ? missing_of(settings, *kind) : ""});
  }
  return all;
}

std::vector<Contender> start_contenders(const Settings& settings, const std::vector<Known>& known,
                                        int world, const std::string& scratch) {
  std::vector<Contender> all;
  const std::vector<Candidate> every = candidates();
  for (size_t i = 0; i < every.size(); i++) {
    if (!known[i].takes_part()) continue;
    all.push_back(start(settings, every[i], world, scratch));
    if (settings.in_flight < 2 || every[i].kind->start != start_ours) continue;
    Contender again = all.back();  // the same ranks
    again.ops = settings.in_flight;
    again.name += "-x" + std::to_string(settings.in_flight);
    all.push_back(again);
  }
  return all;
}

}  // namespace rhz::perf
