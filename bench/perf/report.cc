#include "bench/perf/report.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

namespace rhz::perf {
namespace {

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double rank = std::ceil(q * static_cast<double>(values.size()));  // nearest rank
  return values[std::min(values.size(), std::max<size_t>(1, static_cast<size_t>(rank))) - 1];
}

std::string size_text(size_t bytes) {
  if (bytes % (1 << 20) == 0) return std::to_string(bytes >> 20) + " MiB";
  if (bytes % (1 << 10) == 0) return std::to_string(bytes >> 10) + " KiB";
  return std::to_string(bytes) + " B";
}

const Row* ours_beside(const Report& report, const Row& theirs) {
  for (const Row& row : report.rows) {
    const bool same = row.world == theirs.world && row.bytes == theirs.bytes;
    if (same && row.library == "ours") return &row;
  }
  return nullptr;
}

void print_row(const Report& report, const Row& row, FILE* out) {
  if (row.iterations() == 0) return;
  const double limit = report.limit_of(row.world).allreduce();
  std::fprintf(out, "%d  %8s  %-9s %10.1f %10.1f %10.1f %8.3f %9.3f", row.world,
               size_text(row.bytes).c_str(), row.library.c_str(), row.quantile_us(0.5),
               row.quantile_us(0), row.quantile_us(0.99), row.busbw_GBps(),
               row.cpu_seconds_per_GB());
  std::fprintf(out, limit > 0 ? " %7.0f %%" : "        –", 100 * row.busbw_GBps() / limit);
  const Row* ours = row.library == "ours" ? nullptr : ours_beside(report, row);
  if (ours && ours->iterations() > 0) {
    const Ratio ratio = ratio_of(*ours, row);
    std::fprintf(out, "  %6.2f", ratio.overall);
    if (!ratio.spread.empty()) {
      std::fprintf(out, " (%.2f … %.2f)", ratio.spread.front(), ratio.spread.back());
    }
  }
  const std::string& congestion = row.rounds.front().congestion;
  if (congestion != report.congestion) std::fprintf(out, "  under %s", congestion.c_str());
  std::fprintf(out, "\n");
}

nlohmann::json json_of(const Row& row) {
  nlohmann::json medians = nlohmann::json::array();
  for (const Round& round : row.rounds) medians.push_back(median_of(round.times_us));
  return {{"bench", "perf_compare"},
          {"n", row.world},
          {"bytes", row.bytes},
          {"library", row.library},
          {"median_us", row.quantile_us(0.5)},
          {"min_us", row.quantile_us(0)},
          {"p99_us", row.quantile_us(0.99)},
          {"busbw_GBps", row.busbw_GBps()},
          {"cpu_s_per_GB", row.cpu_seconds_per_GB()},
          {"congestion_control", row.rounds.front().congestion},
          {"iterations", row.iterations()},
          {"round_median_us", medians}};
}

}  // namespace

double median_of(std::vector<double> values) { return quantile(std::move(values), 0.5); }

double Row::quantile_us(double q) const {
  std::vector<double> all;
  for (const Round& round : rounds) {
    all.insert(all.end(), round.times_us.begin(), round.times_us.end());
  }
  return quantile(std::move(all), q);
}

double Row::busbw_GBps() const {
  const double moved = 2.0 * (world - 1) / world * static_cast<double>(bytes);
  return moved / (quantile_us(0.5) * 1e3);
}

double Row::cpu_seconds_per_GB() const {
  double seconds = 0;
  for (const Round& round : rounds) seconds += round.cpu_seconds;
  return seconds / (static_cast<double>(bytes) * static_cast<double>(iterations()) / 1e9);
}

size_t Row::iterations() const {
  size_t sum = 0;
  for (const Round& round : rounds) sum += round.times_us.size();
  return sum;
}

Limits Report::limit_of(int world) const {
  const auto found = limits.find(world);
  if (found == limits.end()) return {};
  const auto median = [&](double Limits::*member) {
    std::vector<double> values;
    for (const Limits& one : found->second) values.push_back(one.*member);
    return median_of(std::move(values));
  };
  return {median(&Limits::receive), median(&Limits::add), median(&Limits::copy_1mib),
          median(&Limits::copy_16mib), median(&Limits::copy_64mib)};
}

Ratio ratio_of(const Row& ours, const Row& theirs) {
  Ratio ratio;
  ratio.overall = theirs.quantile_us(0.5) / ours.quantile_us(0.5);
  for (size_t i = 0; i < std::min(ours.rounds.size(), theirs.rounds.size()); i++) {
    const double mine = median_of(ours.rounds[i].times_us);
    const double others = median_of(theirs.rounds[i].times_us);
    if (mine > 0 && others > 0) ratio.spread.push_back(others / mine);  // 0: failed by then
  }
  std::sort(ratio.spread.begin(), ratio.spread.end());
  return ratio;
}

void print_table(const Report& report, FILE* out) {
  std::fprintf(out, "\nall-reduce, f32 sum, %s, %s; slowest rank per iteration; %d cores; %s\n",
               report.in_place ? "in place" : "out of place", report.rebuild.c_str(), report.cores,
               ("system's congestion control: " + report.congestion).c_str());
  for (const auto& [name, what] : report.libraries) {
    std::fprintf(out, "%-9s %s\n", name.c_str(), what.c_str());
  }
  std::fprintf(out,
               "\nN      size  library    median µs     min µs     p99 µs  busbw GB/s CPU s/GB"
               "  of limit  ours/theirs (rounds)\n");
  for (const Row& row : report.rows) print_row(report, row, out);
  std::fprintf(out, "\n");
  for (const auto& [world, rounds] : report.limits) {
    const Limits limit = report.limit_of(world);
    std::fprintf(out,
                 "raw TCP ring, N = %d: receive %.2f, add %.2f, limit of an all-reduce %.2f GB/s; "
                 "memcpy 1 / 16 / 64 MiB: %.1f / %.1f / %.1f GB/s\n",
                 world, limit.receive, limit.add, limit.allreduce(), limit.copy_1mib,
                 limit.copy_16mib, limit.copy_64mib);
  }
  for (const auto& [who, what] : report.failures) {
    std::fprintf(out, "FAILED %s: %s\n", who.c_str(), what.c_str());
  }
}

bool write_json(const Report& report, const std::string& path) {
  nlohmann::json limits = nlohmann::json::array();
  for (const auto& [world, rounds] : report.limits) {
    const Limits limit = report.limit_of(world);
    limits.push_back({{"n", world},
                      {"receive_GBps", limit.receive},
                      {"add_GBps", limit.add},
                      {"allreduce_GBps", limit.allreduce()},
                      {"memcpy_1MiB_GBps", limit.copy_1mib},
                      {"memcpy_16MiB_GBps", limit.copy_16mib},
                      {"memcpy_64MiB_GBps", limit.copy_64mib}});
  }
  nlohmann::json rows = nlohmann::json::array();
  for (const Row& row : report.rows) {
    if (row.iterations() == 0) continue;
    nlohmann::json line = json_of(row);
    const Row* ours = row.library == "ours" ? nullptr : ours_beside(report, row);
    if (ours && ours->iterations() > 0) {
      const Ratio ratio = ratio_of(*ours, row);
      line["ours_over_theirs"] = ratio.overall;
      line["ours_over_theirs_rounds"] = ratio.spread;
    }
    rows.push_back(line);
  }
  const nlohmann::json all = {
      {"cores", report.cores},         {"congestion_control", report.congestion},
      {"in_place", report.in_place},   {"rebuild", report.rebuild},
      {"libraries", report.libraries}, {"failures", report.failures},
      {"raw_limits", limits},          {"rows", rows}};
  std::ofstream file(path);
  file << all.dump(2) << '\n';
  return static_cast<bool>(file.flush());
}

}  // namespace rhz::perf
