// rhizome-sim: runs seeds.  --help says how.
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "runtime/base/assert.h"
#include "tests/sim/cluster.h"
#include "tests/sim/scenario.h"
#include "tests/sim/shrink.h"

namespace {

using namespace rhz::sim;
using rhz::Result;
using rhz::Status;

constexpr const char* kUsage =
    R"(A whole run in one thread and in virtual time, seed by seed: docs/testing.md, "Simulator".

  rhizome-sim --seed N [--steps] [--only crash,join]    one seed; --steps: a line per transition; --only: these faults
  rhizome-sim --config FILE [--steps]                   what the file says, instead of what a seed says
  rhizome-sim --seed N --write FILE                     such a file of a seed; nothing is run
  rhizome-sim --seed N --shrink [--write FILE]          less and less of it while it fails; also with --config
  rhizome-sim --scenarios FOLDER                        all files (*.json) of it
  rhizome-sim --seeds A..B [--churn-target N] [--jobs J] [--ledger FILE] [--keep-going]

Every run is made twice, and both have to be the same event for event; --twice-every N: every Nth seed (0: none).
Exit status: 0, no violation; 1, there was one; 2, a flag or a file that is wrong.

Examples:
  rhizome-sim --seeds 1..1000 --jobs 2
  rhizome-sim --seed 4711 --shrink --write tests/scenarios/what-it-shows.json
  rhizome-sim --config tests/scenarios/what-it-shows.json --steps
)";

struct Options {
  uint64_t first = 1, last = 1, churn_target = 0;
  uint32_t jobs = 1;
  uint64_t twice_every = 1;
  bool steps = false, keep_going = false, shrink = false;
  std::string only, config, write, scenarios, ledger;
};

struct Totals {
  uint64_t seeds = 0, events = 0, churn = 0, released = 0, rebuilt = 0, included = 0, aborted = 0, messages = 0, views = 0;
  uint64_t members = 0, deserted = 0;
  uint64_t entered = 0, pulled = 0, followed = 0, removed = 0, rerouted = 0, restarts = 0, measured = 0, replayed = 0;
  uint64_t violations = 0;
  uint64_t faults[kFaults] = {};
  uint64_t died_at[kMarks] = {};
};

Config config_of(const Options& options, uint64_t seed) {
  Config config = make_config(seed);
  if (!options.only.empty()) only_faults(config, options.only);
  return config;
}

std::string running;  // what to print when an assertion fails

// A seed in which nobody was left checks no liveness, and counts for nothing but its violations.
void add(Totals& totals, const Outcome& outcome) {
  ++totals.seeds;
  totals.deserted += outcome.deserted;
  if (outcome.deserted) return;
  totals.events += outcome.events;
  totals.churn += outcome.churn;
  totals.entered += outcome.entered;
  totals.pulled += outcome.pulled;
  totals.followed += outcome.followed;
  totals.removed += outcome.removed;
  totals.rerouted += outcome.rerouted;
  totals.measured += outcome.measured;
  totals.replayed += outcome.replayed;
  totals.restarts += outcome.restarts;
  totals.released += outcome.released;
  totals.rebuilt += outcome.rebuilt;
  totals.included += outcome.included;
  totals.aborted += outcome.aborted;
  totals.messages += outcome.messages;
  totals.views += outcome.views;
  totals.members += outcome.members;
  for (size_t k = 0; k < kFaults; ++k) totals.faults[k] += outcome.faults[k];
  for (size_t k = 0; k < kMarks; ++k) totals.died_at[k] += outcome.died_at[k];
}

bool run_config(const Options& options, const Config& config, bool twice, Totals& totals) {
  running = "seed " + std::to_string(config.seed) + ": " + config.text();
  const Outcome outcome = Cluster(config, options.steps).run();
  std::string violation = outcome.violation;
  if (violation.empty() && twice) {
    const Outcome again = Cluster(config).run();
    if (again.hash != outcome.hash || again.events != outcome.events)
      violation = "not deterministic: the second run of this seed went another way";
  }
  add(totals, outcome);
  if (violation.empty()) return true;
  ++totals.violations;
  std::printf("VIOLATION %s\n  %s\n", violation.c_str(), running.c_str());
  std::fflush(stdout);
  return false;
}

bool run_seed(const Options& options, uint64_t seed, Totals& totals) {
  const bool twice = options.twice_every > 0 && seed % options.twice_every == 0;
  return run_config(options, config_of(options, seed), twice, totals);
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
      std::exit(told ? 0 : 1);  // a leak is reported by the orderly end only
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
  for (int status = 0; wait(&status) > 0;)
    if (status != 0) sum.violations = std::max<uint64_t>(sum.violations, 1);
  return sum;
}

Scenario scenario_of(const std::string& path) {
  Result<Scenario> read = read_scenario(path);
  if (read) return std::move(read).value();
  std::fprintf(stderr, "rhizome-sim: %s\n", read.status().text().c_str());
  std::exit(2);
}

// Each file has its line; a folder without any is an error.
bool run_scenarios(const Options& options, Totals& totals) {
  std::set<std::filesystem::path> files;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(options.scenarios, none))
    if (entry.path().extension() == ".json") files.insert(entry.path());
  if (files.empty()) {
    std::fprintf(stderr, "rhizome-sim: %s: no scenario (*.json) there\n", options.scenarios.c_str());
    std::exit(2);
  }
  bool good = true;
  for (const auto& file : files) {
    const Scenario scenario = scenario_of(file.string());
    const bool passed = run_config(options, scenario.config, true, totals);
    std::printf("%s %s: %s\n", passed ? "ok" : "FAILED", file.stem().c_str(), scenario.found.c_str());
    good &= passed;
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
    else if (flag == "--shrink")
      options.shrink = true;
    else if (flag == "--ledger")
      options.ledger = value, ++i;
    else if (flag == "--keep-going")
      options.keep_going = true;
    else if (flag == "--seed")
      options.first = options.last = std::strtoull(value, nullptr, 10), ++i;
    else if (flag == "--only")
      options.only = value, ++i;
    else if (flag == "--twice-every")
      options.twice_every = std::strtoull(value, nullptr, 10), ++i;
    else if (flag == "--config")
      options.config = value, ++i;
    else if (flag == "--write")
      options.write = value, ++i;
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
    } else if (flag == "--help" || flag == "-h") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    } else {
      std::fprintf(stderr, "rhizome-sim: unknown flag %s; rhizome-sim --help has them all\n", argv[i]);
      std::exit(2);
    }
  }
  return options;
}

// A line per run: what was tried, at which commit, and what came of it.
bool write_ledger(const Options& options, const Totals& t) {
  char date[16] = "", commit[64] = "unknown";
  const std::time_t now = std::time(nullptr);
  std::strftime(date, sizeof date, "%Y-%m-%d", std::gmtime(&now));
  if (FILE* git = popen("git describe --always --dirty 2>/dev/null", "r")) {
    if (std::fscanf(git, "%63s", commit) != 1) std::strcpy(commit, "unknown");
    pclose(git);
  }
  std::ofstream file(options.ledger, std::ios::app);
  file << date << "," << commit << "," << options.first << ".." << options.first + t.seeds - 1
       << "," << t.seeds << "," << t.events << "," << t.churn << "," << t.violations << "\n";
  return file.good();
}

void print(const Totals& t, double seconds) {
  auto show = [](const char* name, uint64_t value) {
    std::printf("%s=%llu ", name, static_cast<unsigned long long>(value));
  };
  show("seeds", t.seeds);
  show("deserted", t.deserted);
  show("events", t.events);
  show("churn", t.churn);
  show("entered", t.entered);
  show("pulled_in_bulk", t.pulled);
  show("followed", t.followed);
  show("removed", t.removed);
  show("rerouted", t.rerouted);
  show("coordinator_restarts", t.restarts);
  show("views", t.views);
  std::printf("mean_world=%.1f ",
              static_cast<double>(t.members) / static_cast<double>(std::max<uint64_t>(t.views, 1)));
  show("ops_ended", t.released);
  show("ops_rebuilt", t.rebuilt);
  show("with_departed", t.included);
  show("ops_aborted", t.aborted);
  show("messages", t.messages);
  show("measured", t.measured);
  show("replayed", t.replayed);
  show("violations", t.violations);
  std::printf("seconds=%.1f\nfaults", seconds);
  for (size_t k = 0; k < kFaults; ++k)
    std::printf(" %s=%llu", fault_name(static_cast<Fault>(k)),
                static_cast<unsigned long long>(t.faults[k]));
  std::printf("\ndied_at");
  for (size_t k = 0; k < kMarks; ++k)
    std::printf(" %s=%llu", kMarkNames[k], static_cast<unsigned long long>(t.died_at[k]));
  std::printf("\n");
}

// The exit status.
int write(const std::string& path, const Scenario& scenario) {
  const Status written = write_scenario(path, scenario);
  if (!written) std::fprintf(stderr, "rhizome-sim: %s\n", written.text().c_str());
  return written ? 0 : 2;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  // Payloads come and go: the C library keeps their pages, which saves a sixth of the time.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  rhz::set_assert_hook(
      [](void*) { std::printf("ASSERTION in %s\n", running.c_str()), std::fflush(stdout); },
      nullptr);
  const bool file = !options.config.empty();
  Scenario one = file ? scenario_of(options.config) : Scenario{"", config_of(options, options.first)};
  if (file && !options.only.empty()) only_faults(one.config, options.only);
  if (options.shrink) {
    const std::optional<Config> less = shrink(one.config);
    if (!less) return 0;
    one.config = *less;
    const int wrote = options.write.empty() ? 0 : write(options.write, one);
    return wrote == 0 ? 1 : wrote;
  }
  if (!options.write.empty()) return write(options.write, one);
  const auto begin = std::chrono::steady_clock::now();
  Totals totals;
  if (!options.scenarios.empty()) {
    if (!run_scenarios(options, totals))
      totals.violations = std::max<uint64_t>(totals.violations, 1);
  } else if (file) {
    run_config(options, one.config, options.twice_every > 0, totals);
  } else if (options.first == options.last) {
    run_seed(options, options.first, totals);
  } else {
    totals = run_all(options);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  print(totals, took.count());
  if (!options.ledger.empty() && !write_ledger(options, totals)) return 2;
  return totals.violations == 0 ? 0 : 1;
}
