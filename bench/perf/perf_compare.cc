// Rhizome and other libraries side by side: all-reduce over TCP loopback, interleaved (A B A B …)
// in one run, with what the machine gives without a library. Only ratios within one run count.
//
// The coordinator runs in this process: the ranks need it for the start and for heartbeats alone.
#include <rhizome/rhizome.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>

#include "bench/perf/report.h"

namespace rhz::perf {
namespace {

struct Settings {
  std::vector<int> worlds = {2, 4};
  std::vector<std::string> sizes = {"4KiB", "64KiB", "1MiB", "16MiB", "64MiB"};
  int rounds = 4;
  int iterations = 0;  // per round; 0: by size
  bool in_place = false;
  bool without_peers = false;
  std::string rebuild = "strict";
  std::string json;
  std::vector<std::string> mpi_arguments;
  int timeout_s = 120;
  int raw_mib = 512;
};

struct Contender {
  std::string name;
  std::unique_ptr<RankGroup> group;
};

std::string own_folder() {
  std::array<char, 4096> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  const std::string text(path.data(), length > 0 ? static_cast<size_t>(length) : 0);
  return text.substr(0, text.rfind('/') + 1);
}

int cores() { return static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)); }

std::optional<size_t> bytes_of(const std::string& text) {
  std::istringstream words(text);
  size_t number = 0;
  std::string unit;
  words >> number >> unit;
  const size_t scale = unit == "KiB" ? 1 << 10 : unit == "MiB" ? 1 << 20 : unit.empty() ? 1 : 0;
  const size_t bytes = number * scale;
  if (bytes == 0 || bytes % sizeof(float) != 0) return std::nullopt;
  return bytes;
}

// At least 24 of the largest in four rounds; enough of the small ones for a steady median.
int iterations_for(const Settings& settings, size_t bytes) {
  if (settings.iterations > 0) return settings.iterations;
  constexpr size_t kBytesPerRound = 192 << 20;
  return static_cast<int>(std::clamp<size_t>(kBytesPerRound / bytes, 6, 400));
}

// Stops when it goes out of scope.
using Coordinator = std::unique_ptr<rhz_coordinator, decltype(&rhz_coordinator_stop)>;

Coordinator start_coordinator(int world) {
  rhz_coordinator_params params{};
  params.struct_size = sizeof params;
  params.run_id = "perf";
  params.world = static_cast<uint32_t>(world);
  // Peers that spin on all cores may starve a sleeping rank of ours: that is not a dead rank.
  params.suspicion_ms = 30'000;
  rhz_coordinator* started = nullptr;
  if (rhz_coordinator_start(&params, &started) != RHZ_OK) {
    std::fprintf(stderr, "perf_compare: coordinator: %s\n", rhz_last_error());
  }
  return {started, rhz_coordinator_stop};
}

std::unique_ptr<RankGroup> start_ours(const Settings& settings, int world,
                                      const rhz_coordinator* coordinator) {
  auto group = std::make_unique<RankGroup>(world);
  const std::string address = rhz_coordinator_address(coordinator);
  for (int i = 0; i < world; i++) {
    group->start({own_folder() + "perf_ours", group->socket_name(), settings.rebuild},
                 {"RHZ_COORDINATOR=" + address, "RHZ_RUN_ID=perf"});
  }
  group->gather();
  return group;
}

std::vector<std::string> mpirun_arguments(const Settings& settings, int world) {
  std::vector<std::string> words = {"--mca", "pml", "ob1", "--mca", "btl", "tcp,self"};
  const std::vector<std::string> more = {"--mca",
                                         "btl_tcp_if_include",
                                         "lo",
                                         "--mca",
                                         "oob_tcp_if_include",
                                         "lo",
                                         "--allow-run-as-root",
                                         "--oversubscribe"};
  words.insert(words.end(), more.begin(), more.end());
  // Open MPI polls; it has to yield where ranks share cores, and must not where they do not.
  const std::vector<std::string> yield = {"--mca", "mpi_yield_when_idle",
                                          world > cores() ? "1" : "0"};
  words.insert(words.end(), yield.begin(), yield.end());
  words.insert(words.end(), settings.mpi_arguments.begin(), settings.mpi_arguments.end());
  return words;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::unique_ptr<RankGroup> start_mpi(const Settings& settings, int world) {
  auto group = std::make_unique<RankGroup>(world);
  std::vector<std::string> words = {"mpirun", "-n", std::to_string(world)};
  const std::vector<std::string> options = mpirun_arguments(settings, world);
  words.insert(words.end(), options.begin(), options.end());
  words.push_back(own_folder() + "perf_peer_mpi");
  words.push_back(group->socket_name());
  group->start(words, {});
  group->gather();
  return group;
}

std::optional<Limits> raw_limits(const Settings& settings, int world) {
  std::istringstream numbers(output_of(
      {own_folder() + "perf_raw_ring", std::to_string(world), std::to_string(settings.raw_mib)}));
  Limits limits;
  numbers >> limits.receive >> limits.add >> limits.copy_1mib >> limits.copy_16mib >>
      limits.copy_64mib;
  if (!numbers) return std::nullopt;
  return limits;
}

// One world size: all rounds, all sizes.
void compare_world(const Settings& settings, int world, const std::vector<size_t>& sizes,
                   Report& report) {
  const Coordinator coordinator = start_coordinator(world);
  std::vector<Contender> contenders;
  if (coordinator) contenders.push_back({"ours", start_ours(settings, world, coordinator.get())});
  if (!settings.without_peers) contenders.push_back({"openmpi", start_mpi(settings, world)});

  const size_t first = report.rows.size();
  for (size_t bytes : sizes) {
    for (const Contender& one : contenders) report.rows.push_back({world, bytes, one.name, {}});
  }
  for (int round = 0; round < settings.rounds; round++) {
    std::fprintf(stderr, "perf_compare: N = %d, round %d of %d\n", world, round + 1,
                 settings.rounds);
    Row* row = &report.rows[first];
    for (size_t bytes : sizes) {
      for (Contender& one : contenders) {
        row++->rounds.push_back(one.group->run(bytes, iterations_for(settings, bytes),
                                               settings.in_place, settings.timeout_s * 1000));
      }
    }
    if (const auto limits = raw_limits(settings, world)) report.limits[world].push_back(*limits);
  }
  if (!coordinator) report.failures["N = " + std::to_string(world)] = "no coordinator";
  for (const Contender& one : contenders) {
    report.libraries[one.name] = one.group->library();
    if (one.name == "openmpi") {
      report.libraries[one.name] += "; N = " + std::to_string(world) + ": mpirun " +
                                    joined(mpirun_arguments(settings, world));
    }
    if (one.group->failure().empty()) continue;
    report.failures["N = " + std::to_string(world) + ", " + one.name] = one.group->failure();
  }
}

void describe(Settings& settings, CLI::App& app) {
  app.add_option("-n,--ranks", settings.worlds, "world sizes")->delimiter(',');
  app.add_option("--bytes", settings.sizes, "sizes: 4KiB, 64MiB, …")->delimiter(',');
  app.add_option("--rounds", settings.rounds, "A B A B …")->check(CLI::Range(1, 1000));
  app.add_option("--iterations", settings.iterations, "timed, per round; 0: by size")
      ->check(CLI::Range(0, 100'000));
  app.add_flag("--in-place", settings.in_place, "for every library");
  app.add_option("--rebuild", settings.rebuild, "of ours")
      ->check(CLI::IsMember({"strict", "keep", "fail"}));
  app.add_flag("--no-peers", settings.without_peers, "ours and the raw ring alone");
  app.add_option("--mpi-arg", settings.mpi_arguments, "one more word for mpirun; repeatable")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--raw-mib", settings.raw_mib, "bytes of the raw ring per rank");
  app.add_option("--timeout-s", settings.timeout_s, "of one round of one size");
  app.add_option("--json", settings.json, "file to write");
}

int compare(const Settings& settings) {
  Report report;
  std::vector<size_t> sizes;
  for (const std::string& text : settings.sizes) {
    const std::optional<size_t> bytes = bytes_of(text);
    if (!bytes) return std::fprintf(stderr, "perf_compare: not a size: %s\n", text.c_str()), 2;
    sizes.push_back(*bytes);
  }
  for (int world : settings.worlds) {
    if (world >= 2 && world <= 64) continue;
    return std::fprintf(stderr, "perf_compare: 2 to 64 ranks, not %d\n", world), 2;
  }
  report.cores = cores();
  report.in_place = settings.in_place;
  report.rebuild = settings.rebuild;
  std::ifstream("/proc/sys/net/ipv4/tcp_congestion_control") >> report.congestion;
  Settings able = settings;
  if (!able.without_peers && ::access((own_folder() + "perf_peer_mpi").c_str(), X_OK) != 0) {
    std::fprintf(stderr, "perf_compare: built without MPI (bench/perf/run.sh installs it)\n");
    able.without_peers = true;
  }
  for (int world : able.worlds) compare_world(able, world, sizes, report);
  print_table(report, stdout);
  if (!settings.json.empty() && !write_json(report, settings.json)) {
    std::fprintf(stderr, "perf_compare: cannot write %s\n", settings.json.c_str());
    return 1;
  }
  return report.failures.empty() ? 0 : 1;
}

}  // namespace
}  // namespace rhz::perf

int main(int argc, char** argv) {
  rhz::perf::Settings settings;
  CLI::App app{"All-reduce over TCP loopback: Rhizome and its peers, interleaved"};
  rhz::perf::describe(settings, app);
  CLI11_PARSE(app, argc, argv);
  return rhz::perf::compare(settings);
}
