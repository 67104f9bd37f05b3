// Rhizome and other libraries side by side: interleaved (A B A B …) in one run, with what the
// machine gives without a library. Only ratios within one run count.
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>

#include "bench/perf/contenders.h"
#include "bench/perf/report.h"
#include "bench/perf/scratch.h"

namespace rhz::perf {
namespace {

std::optional<Limits> raw_limits(const Settings& settings, int world) {
  std::istringstream numbers(output_of(
      {own_folder() + "perf_raw_ring", std::to_string(world), std::to_string(settings.raw_mib)}));
  Limits limits;
  numbers >> limits.receive >> limits.add >> limits.copy_1mib >> limits.copy_16mib >>
      limits.copy_64mib;
  if (!numbers) return std::nullopt;
  return limits;
}

size_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  size_t kib = 0;
  while (file >> word && word != "MemAvailable:") continue;
  file >> kib;
  return kib << 10;
}

// Two buffers of a rank, and as much again inside the library (Gloo's rings).
bool fits(size_t bytes, int world) {
  return 4 * bytes * static_cast<size_t>(world) < available_memory() / 10 * 9;
}

// A line of the table for everybody who takes part in it. Ours says what it cannot do yet; what a
// peer does not have is no row.
void add_rows(const std::vector<Contender>& contenders, int world, perf_collective collective,
              size_t bytes, Report& report) {
  for (const Contender& one : contenders) {
    Row row;
    row.world = world;
    row.collective = collective;
    row.bytes = bytes;
    row.contender = one.name;
    row.transport = one.transport;
    row.ops = one.ops;
    const bool able = one.group->supports(collective, one.ops) &&
                      (one.ops == 1 || perf_count(collective, bytes, world) >= size_t(one.ops));
    row.not_yet = !able && row.contender.rfind("ours-", 0) == 0 && row.ops == 1 && one.group->failure().empty();
    if (able || row.not_yet) report.rows.push_back(row);
  }
}

void plan(const Settings& settings, int world, const std::vector<Contender>& contenders,
          Report& report) {
  for (perf_collective collective : settings.collectives) {
    const std::vector<size_t> sizes =
        collective == PERF_BARRIER ? std::vector<size_t>{0} : settings.sizes;
    for (size_t bytes : sizes) {
      if (fits(bytes, world)) {
        add_rows(contenders, world, collective, bytes, report);
      } else {
        report.notes.push_back("N = " + std::to_string(world) + ", " + size_text(bytes) +
                               " left out: it does not fit into memory");
      }
    }
  }
}

// What the size asks for, but for a slow library no more than takes about two seconds: some take 40
// ms for 4 bytes.
int iterations_of(const Settings& settings, const Row& row) {
  constexpr int kFirstRound = 24;
  constexpr int kFewest = 6;
  constexpr double kRoundUs = 2e6;
  const int asked = settings.iterations_of(row.bytes);
  if (settings.iterations > 0) return asked;
  if (row.iterations() == 0) return std::min(asked, kFirstRound);
  return std::min(asked, std::max(kFewest, static_cast<int>(kRoundUs / row.quantile_us(0.5))));
}

void run_row(const Settings& settings, const std::vector<Contender>& contenders, Row& row) {
  const auto who = std::find_if(contenders.begin(), contenders.end(),
                                [&](const Contender& one) { return one.name == row.contender; });
  if (row.not_yet || who == contenders.end()) return;
  const Command command = {row.collective, perf_count(row.collective, row.bytes, row.world),
                           iterations_of(settings, row), settings.in_place, row.ops};
  row.rounds.push_back(who->group->run(command, settings.timeout_s * 1000));
}

void compare_world(const Settings& settings, const std::vector<Known>& known, int world,
                   const std::string& scratch, Report& report) {
  const std::vector<Contender> contenders = start_contenders(settings, known, world, scratch);
  const size_t first = report.rows.size();
  plan(settings, world, contenders, report);
  for (int round = 0; round < settings.rounds; round++) {
    std::fprintf(stderr, "perf_compare: N = %d, round %d of %d\n", world, round + 1,
                 settings.rounds);
    for (size_t i = first; i < report.rows.size(); i++) {
      run_row(settings, contenders, report.rows[i]);
    }
    if (settings.network.on() || settings.raw_mib == 0) continue;
    if (const auto limits = raw_limits(settings, world)) report.limits[world].push_back(*limits);
  }
  for (const Contender& one : contenders) {
    std::string& what = report.libraries[one.name];
    const std::string now = one.group->library() + "; " + one.forced;
    if (what.empty()) what = now;
    if (what != now) what += "; N = " + std::to_string(world) + ": " + one.forced;
    if (one.group->failure().empty()) continue;
    report.failures["N = " + std::to_string(world) + ", " + one.name] = one.group->failure();
  }
}

// False: somebody is asked for whom nobody knows.
bool note_the_missing(const Settings& settings, const std::vector<Known>& known, Report& report) {
  for (const Known& one : known) {
    if (!one.missing.empty()) report.missing[one.name] = one.missing;
  }
  for (const std::string& asked : settings.contenders) {
    const bool there = std::any_of(known.begin(), known.end(),
                                   [&](const Known& one) { return one.name == asked; });
    if (there) continue;
    std::fprintf(stderr, "perf_compare: nobody is called %s: see --list\n", asked.c_str());
    return false;
  }
  return true;
}

int list(Settings settings) {
  settings.transports = {"tcp", "shm"};
  for (const Known& one : known_contenders(settings)) {
    const std::string state = one.on_request ? "on request" : one.missing.empty() ? "ready" : one.missing;
    std::printf("%-23s %s  %s\n", one.name.c_str(), one.transport.c_str(), state.c_str());
  }
  return 0;
}

bool write(bool (*writer)(const Report&, const std::string&), const Report& report,
           const std::string& path) {
  if (path.empty() || writer(report, path)) return true;
  std::fprintf(stderr, "perf_compare: cannot write %s\n", path.c_str());
  return false;
}

int compare(const Settings& settings) {
  if (settings.list) return list(settings);
  Report report;
  const std::vector<Known> known = known_contenders(settings);
  if (!note_the_missing(settings, known, report)) return 2;
  report.cores = cores();
  report.in_place = settings.in_place;
  report.line_GBps = settings.network.line_MBps / 1e3;
  std::ifstream("/proc/sys/net/ipv4/tcp_congestion_control") >> report.congestion;
  const Scratch scratch;
  if (scratch.path().empty()) return 1;
  for (int world : settings.worlds) compare_world(settings, known, world, scratch.path(), report);
  print_table(report, stdout);
  const bool written =
      write(write_json, report, settings.json) & write(write_svg, report, settings.svg);
  return report.failures.empty() && written ? 0 : 1;
}

}  // namespace
}  // namespace rhz::perf

int main(int argc, char** argv) {
  rhz::perf::Settings settings;
  int exit_status = 0;
  if (!rhz::perf::read_settings(argc, argv, settings, &exit_status)) return exit_status;
  return rhz::perf::compare(settings);
}
