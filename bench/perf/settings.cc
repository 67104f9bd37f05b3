#include "bench/perf/settings.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <optional>
#include <sstream>

namespace rhz::perf {
namespace {

constexpr int kMostRanks = 64;       // as perf_raw_ring
constexpr int kMostInFlight = 1024;  // as perf_ours

// As given, before it is understood.
struct Words {
  std::vector<std::string> sizes = {"4KiB", "64KiB", "1MiB", "16MiB", "64MiB"};
  std::vector<std::string> collectives = {"allreduce"};
  bool quick = false;
};

std::optional<size_t> bytes_of(const std::string& text) {
  std::istringstream words(text);
  size_t number = 0;
  std::string unit;
  words >> number >> unit;
  const size_t scale = unit == "KiB"                 ? 1 << 10
                       : unit == "MiB"               ? 1 << 20
                       : unit == "GiB"               ? 1 << 30
                       : unit.empty() || unit == "B" ? 1
                                                     : 0;
  const size_t bytes = number * scale;
  if (bytes == 0 || bytes % sizeof(float) != 0) return std::nullopt;
  return bytes;
}

constexpr const char* kFooter =
    "Examples:\n"
    "  perf_compare -n 2,4 --bytes 4KiB,1MiB,64MiB                    all-reduce over TCP, all "
    "peers\n"
    "  perf_compare -n 4 --transport shm --contenders ours-shm,openmpi-shm --svg shm.svg\n"
    "  perf_compare -n 2 --collectives all --bytes 1MiB,64MiB --json collectives.json\n"
    "  perf_compare -n 2 --ours-only --bytes 64MiB --in-flight 64     one 64 MiB op against 64 of "
    "1 MiB\n"
    "  perf_compare --list                                            who is built, and who is "
    "not\n"
    "docs/benchmarks.md says how to read the table, and which traps there are.";

void describe_what(Settings& s, Words& words, CLI::App& app) {
  app.add_option("-n,--ranks", s.worlds, "world sizes: 2,4,8")->delimiter(',');
  app.add_option("--bytes", words.sizes,
                 "sizes: 4B,4KiB,64MiB,1GiB (of the larger buffer of a rank)")
      ->delimiter(',');
  app.add_option(
         "--collectives", words.collectives,
         "allreduce, reduce_scatter, allgather, broadcast, reduce, alltoall, barrier; or all")
      ->delimiter(',');
  app.add_option("--transport", s.transports, "tcp, shm, ucx, ofi, or several: tcp,shm")
      ->delimiter(',')
      ->check(CLI::IsMember({"tcp", "shm", "ucx", "ofi"}));
  app.add_option("--contenders", s.contenders, "only these: ours-tcp,gloo-ring,… (see --list)")
      ->delimiter(',');
  app.add_flag("--ours-only,--no-peers", s.ours_only, "ours and the raw limits alone");
  app.add_option("--in-flight", s.in_flight,
                 "ours once more, with each all-reduce cut into that many ops in flight at once, on four "
                 "sub-communicators of all ranks")
      ->check(CLI::Range(0, kMostInFlight));
  app.add_flag("--alloc", s.alloc, "ours: buffers by rhz_alloc");
  app.add_flag("--in-place", s.in_place, "for every library; all-reduce only");
  app.add_option("--rebuild", s.rebuild, "of ours")
      ->check(CLI::IsMember({"strict", "keep", "fail"}));
}

void describe_how(Settings& s, Words& words, CLI::App& app) {
  app.add_option("--rounds", s.rounds, "how often A B A B …")->check(CLI::Range(1, 1000));
  app.add_option("--iterations", s.iterations, "timed ones of a round; 0: by size, at least 6")
      ->check(CLI::Range(0, 100'000));
  app.add_flag("--quick", words.quick,
               "does everything work? few, small, quick: no figure of it means anything");
  app.add_option("--raw-mib", s.raw_mib, "bytes per rank of the raw ring; 0: no raw ring");
  app.add_option("--timeout-s", s.timeout_s, "of one round of one size of one library");
  app.add_option("--mpi-arg", s.mpi_arguments, "one more word for Open MPI's mpirun; repeatable")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--python", s.python, "interpreter that has torch or pypccl");
  app.add_option("--json", s.json, "file to write all figures to");
  app.add_option("--svg", s.svg, "file to draw bus bandwidth against size to");
  app.add_flag("--list", s.list, "name the contenders and leave");
}

void describe_network(Network& network, CLI::App& app) {
  const char* group = "Ranks in network namespaces (bench/net/run.sh passes these)";
  app.add_option("--netns-prefix", network.prefix, "rank i runs in the namespace PREFIXi")
      ->group(group);
  app.add_option("--subnet", network.subnet, "rank i has the address SUBNET.(i + 1)")->group(group);
  app.add_option("--own-address", network.own_address, "of this process, for the coordinator")
      ->group(group);
  app.add_option("--interface", network.interface, "of every rank, to the others")->group(group);
  app.add_option("--launch-agent", network.agent, "what MPI's launchers call instead of ssh")
      ->group(group);
  app.add_option("--line-MBps", network.line_MBps, "what iperf3 measured, MB/s")->group(group);
}

// Fills in what the words mean; "", or what is wrong with them.
std::string understand(const Words& words, Settings& s) {
  for (const std::string& text : words.sizes) {
    const std::optional<size_t> bytes = bytes_of(text);
    if (!bytes) return "not a size: " + text;
    s.sizes.push_back(*bytes);
  }
  s.collectives.clear();
  for (const std::string& text : words.collectives) {
    const perf_collective one = perf_collective_named(text.c_str());
    if (one == PERF_COLLECTIVES && text != "all") return "not a collective: " + text;
    for (int i = 0; i < PERF_COLLECTIVES; i++) {
      if (text == "all" || i == one) s.collectives.push_back(static_cast<perf_collective>(i));
    }
  }
  for (int world : s.worlds) {
    if (world < 2 || world > kMostRanks) return "2 to 64 ranks, not " + std::to_string(world);
  }
  const bool only_allreduce = s.collectives == std::vector<perf_collective>{PERF_ALLREDUCE};
  if (s.in_place && !only_allreduce) return "--in-place is for all-reduce alone";
  const Network& net = s.network;
  const bool complete = !net.subnet.empty() && !net.own_address.empty() && !net.interface.empty() &&
                        !net.agent.empty();
  if (net.on() && !complete) {
    return "--netns-prefix needs --subnet, --own-address, --interface and --launch-agent";
  }
  return "";
}

void make_quick(const CLI::App& app, Settings& s, Words& words) {
  if (app.count("--ranks") == 0) s.worlds = {2};
  if (app.count("--bytes") == 0) words.sizes = {"4B", "4KiB", "1MiB"};
  if (app.count("--rounds") == 0) s.rounds = 2;
  if (app.count("--iterations") == 0) s.iterations = 3;
  if (app.count("--raw-mib") == 0) s.raw_mib = 16;
}

constexpr int kParsed = -1;

// The macro returns CLI11's own status when there is nothing to run: 0 after --help.
int parse(CLI::App& app, int argc, char** argv) {
  CLI11_PARSE(app, argc, argv);
  return kParsed;
}

}  // namespace

// At least 24 of the largest in four rounds; enough of the small ones for a steady median.
int Settings::iterations_of(size_t bytes) const {
  if (iterations > 0) return iterations;
  constexpr size_t kBytesPerRound = 192 << 20;
  return static_cast<int>(std::clamp<size_t>(kBytesPerRound / std::max<size_t>(bytes, 1), 6, 400));
}

bool Settings::wants(const std::string& contender, const std::string& transport) const {
  const auto has = [](const std::vector<std::string>& list, const std::string& word) {
    return std::find(list.begin(), list.end(), word) != list.end();
  };
  if (ours_only && contender.rfind("ours", 0) != 0) return false;
  return contenders.empty() ? has(transports, transport) : has(contenders, contender);
}

bool read_settings(int argc, char** argv, Settings& settings, int* exit_status) {
  Words words;
  CLI::App app{"Rhizome and other libraries side by side, interleaved (A B A B …) in one run."};
  app.footer(kFooter);
  describe_what(settings, words, app);
  describe_how(settings, words, app);
  describe_network(settings.network, app);
  *exit_status = parse(app, argc, argv);
  if (*exit_status != kParsed) return false;
  if (words.quick) make_quick(app, settings, words);
  const std::string problem = understand(words, settings);
  if (problem.empty()) return true;
  std::fprintf(stderr, "perf_compare: %s\n", problem.c_str());
  *exit_status = 2;
  return false;
}

}  // namespace rhz::perf
