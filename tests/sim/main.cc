// rhizome-sim: runs seeds.  Exit status 0: no violation.
//
//   rhizome-sim --seed N [--steps] [--only crash,join]      one seed, with a timeline
//   rhizome-sim --scenarios FILE                            seeds that found a bug once, one per
//   line rhizome-sim --seeds A..B [--churn-target N] [--jobs J] [--twice-every N]
//
// A seed runs twice, and both runs have to be the same event for event; with --twice-every N every
// N-th does (0: none).
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/base/assert.h"
#include "tests/sim/cluster.h"

namespace {

using namespace rhz::sim;

struct Options {
  uint64_t first = 1, last = 1, churn_target = 0;
  uint32_t jobs = 1;
  uint64_t twice_every = 1;
  bool steps = false, keep_going = false;
  std::string only, scenarios;
};

struct Totals {
  uint64_t seeds = 0, events = 0, churn = 0, released = 0, rebuilt = 0, aborted = 0, views = 0;
  uint64_t entered = 0, members = 0, deserted = 0;
  uint64_t violations = 0;
  uint64_t faults[kFaults] = {};
};

Config config_of(const Options& options, uint64_t seed) {
  Config config = make_config(seed);
  if (!options.only.empty()) only_faults(config, options.only);
  return config;
}

std::string running;  // what to print when an assertion fails

bool run_seed(const Options& options, uint64_t seed, Totals& totals) {
  const Config config = config_of(options, seed);
  running = "seed " + std::to_string(seed) + ": " + config.text();
  const Outcome outcome = Cluster(config, options.steps).run();
  std::string violation = outcome.violation;
  if (violation.empty() && options.twice_every > 0 && seed % options.twice_every == 0) {
    const Outcome again = Cluster(config).run();
    if (again.hash != outcome.hash || again.events != outcome.events)
      violation = "not deterministic: the second run of this seed went another way";
  }
  ++totals.seeds;
  totals.events += outcome.events;
  totals.churn += outcome.churn;
  totals.released += outcome.released;
  totals.rebuilt += outcome.rebuilt;
  totals.aborted += outcome.aborted;
  totals.views += outcome.views;
  totals.entered += outcome.entered;
  totals.members += outcome.members;
  totals.deserted += outcome.deserted;
  for (size_t k = 0; k < kFaults; ++k) totals.faults[k] += outcome.faults[k];
  if (violation.empty()) return true;
  ++totals.violations;
  std::printf("VIOLATION %s\n  %s\n", violation.c_str(), running.c_str());
  std::fflush(stdout);
  return false;
}

Totals run_share(const Options& options, uint32_t job) {
  Totals totals;
  for (uint64_t seed = options.first + job; seed <= options.last; seed += options.jobs) {
    if (options.churn_target > 0 && totals.churn * options.jobs >= options.churn_target) break;
    if (!run_seed(options, seed, totals) && !options.keep_going) break;
  }
  return totals;
}

// Each job in a process of its own: an assertion that fails ends that job only.
Totals run_all(const Options& options) {
  std::vector<int> pipes;
  for (uint32_t job = 0; job < options.jobs; ++job) {
    int ends[2];
    if (pipe(ends) != 0) std::exit(2);
    std::fflush(stdout);
    if (fork() == 0) {
      const Totals totals = run_share(options, job);
      const bool told = write(ends[1], &totals, sizeof totals) == sizeof totals;
      std::fflush(stdout);
      _exit(told ? 0 : 1);
    }
    close(ends[1]);
    pipes.push_back(ends[0]);
  }
  Totals sum;
  for (int end : pipes) {
    Totals totals;
    if (read(end, &totals, sizeof totals) != sizeof totals) {
      totals = {};
      totals.violations = 1;
    }
    close(end);
    auto* into = reinterpret_cast<uint64_t*>(&sum);
    const auto* from = reinterpret_cast<const uint64_t*>(&totals);
    for (size_t i = 0; i < sizeof sum / sizeof *into; ++i) into[i] += from[i];
  }
  while (wait(nullptr) > 0) {
  }
  return sum;
}

// A line is a seed, the faults to keep ("all", or as --only), and what was found.
bool run_scenarios(const Options& options, Totals& totals) {
  std::ifstream file(options.scenarios);
  bool good = file.is_open();
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream fields(line);
    uint64_t seed = 0;
    Options one = options;
    if (!(fields >> seed >> one.only)) std::exit(2);
    if (one.only == "all") one.only.clear();
    good &= run_seed(one, seed, totals);
  }
  return good;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    if (flag == "--steps")
      options.steps = true;
    else if (flag == "--keep-going")
      options.keep_going = true;
    else if (flag == "--seed")
      options.first = options.last = std::strtoull(value, nullptr, 10), ++i;
    else if (flag == "--only")
      options.only = value, ++i;
    else if (flag == "--twice-every")
      options.twice_every = std::strtoull(value, nullptr, 10), ++i;
    else if (flag == "--scenarios")
      options.scenarios = value, ++i;
    else if (flag == "--jobs")
      options.jobs = static_cast<uint32_t>(std::atoi(value)), ++i;
    else if (flag == "--churn-target")
      options.churn_target = std::strtoull(value, nullptr, 10), ++i;
    else if (flag == "--seeds") {
      const char* dots = std::strstr(value, "..");
      options.first = std::strtoull(value, nullptr, 10);
      options.last = dots ? std::strtoull(dots + 2, nullptr, 10) : options.first;
      ++i;
    } else {
      std::fprintf(stderr, "unknown flag %s\n", argv[i]);
      std::exit(2);
    }
  }
  return options;
}

void print(const Totals& t, double seconds) {
  std::printf(
      "seeds=%llu events=%llu events_per_s=%.0f churn=%llu views=%llu ops_ended=%llu "
      "ops_rebuilt=%llu ops_aborted=%llu joiners_entered=%llu mean_world=%.1f deserted=%llu "
      "violations=%llu seconds=%.1f\n",
      static_cast<unsigned long long>(t.seeds), static_cast<unsigned long long>(t.events),
      static_cast<double>(t.events) / seconds, static_cast<unsigned long long>(t.churn),
      static_cast<unsigned long long>(t.views), static_cast<unsigned long long>(t.released),
      static_cast<unsigned long long>(t.rebuilt), static_cast<unsigned long long>(t.aborted),
      static_cast<unsigned long long>(t.entered),
      static_cast<double>(t.members) / static_cast<double>(t.views),
      static_cast<unsigned long long>(t.deserted), static_cast<unsigned long long>(t.violations),
      seconds);
  for (size_t k = 0; k < kFaults; ++k)
    std::printf("%s%s=%llu", k ? " " : "faults ", fault_name(static_cast<Fault>(k)),
                static_cast<unsigned long long>(t.faults[k]));
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  rhz::set_assert_hook(
      [](void*) { std::printf("ASSERTION in %s\n", running.c_str()), std::fflush(stdout); },
      nullptr);
  const auto begin = std::chrono::steady_clock::now();
  Totals totals;
  if (!options.scenarios.empty()) {
    if (!run_scenarios(options, totals))
      totals.violations = std::max<uint64_t>(totals.violations, 1);
  } else if (options.first == options.last) {
    run_seed(options, options.first, totals);
  } else {
    totals = run_all(options);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  print(totals, took.count());
  return totals.violations == 0 ? 0 : 1;
}
