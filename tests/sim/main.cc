// rhizome-sim: runs seeds.  Exit status 0: no violation.
//
//   rhizome-sim --seed N [--steps] [--only crash,join]      one seed, with a timeline
//   rhizome-sim --seed N --shrink                           less and less of it, while it fails
//   rhizome-sim --scenarios FILE                            seeds that found a bug once, one a line
//   rhizome-sim --seeds A..B [--churn-target N] [--jobs J] [--twice-every N] [--ledger FILE]
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
#include <ctime>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/base/assert.h"
#include "tests/sim/cluster.h"
#include "tests/sim/shrink.h"

namespace {

using namespace rhz::sim;

struct Options {
  uint64_t first = 1, last = 1, churn_target = 0;
  uint32_t jobs = 1;
  uint64_t twice_every = 1;
  bool steps = false, keep_going = false, shrink = false;
  std::string only, scenarios, ledger;
};

struct Totals {
  uint64_t seeds = 0, events = 0, churn = 0, released = 0, rebuilt = 0, aborted = 0, messages = 0, views = 0;
  uint64_t members = 0, deserted = 0;
  uint64_t entered = 0, pulled = 0, followed = 0, removed = 0, rerouted = 0, restarts = 0, measured = 0;
  uint64_t violations = 0;
  uint64_t faults[kFaults] = {};
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
  totals.restarts += outcome.restarts;
  totals.released += outcome.released;
  totals.rebuilt += outcome.rebuilt;
  totals.aborted += outcome.aborted;
  totals.messages += outcome.messages;
  totals.views += outcome.views;
  totals.members += outcome.members;
  for (size_t k = 0; k < kFaults; ++k) totals.faults[k] += outcome.faults[k];
}

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
  add(totals, outcome);
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
  show("ops_aborted", t.aborted);
  show("messages", t.messages);
  show("measured", t.measured);
  show("violations", t.violations);
  std::printf("seconds=%.1f\nfaults", seconds);
  for (size_t k = 0; k < kFaults; ++k)
    std::printf(" %s=%llu", fault_name(static_cast<Fault>(k)),
                static_cast<unsigned long long>(t.faults[k]));
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  rhz::set_assert_hook(
      [](void*) { std::printf("ASSERTION in %s\n", running.c_str()), std::fflush(stdout); },
      nullptr);
  if (options.shrink) return shrink(config_of(options, options.first)) ? 1 : 0;
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
  if (!options.ledger.empty() && !write_ledger(options, totals)) return 2;
  return totals.violations == 0 ? 0 : 1;
}
