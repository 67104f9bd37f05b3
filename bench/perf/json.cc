// The same figures for programs: docs/benchmarks.md lists the fields.
#include <fstream>
#include <nlohmann/json.hpp>

#include "bench/perf/report.h"

namespace rhz::perf {
namespace {

nlohmann::json json_of(const Report& report, const Row& row) {
  nlohmann::json line = {{"bench", "perf_compare"},
                         {"n", row.world},
                         {"collective", perf_collective_name(row.collective)},
                         {"bytes", row.bytes},
                         {"contender", row.contender},
                         {"transport", row.transport},
                         {"ops_in_flight", row.ops}};
  if (row.not_yet) {
    line["not_yet"] = true;
    return line;
  }
  nlohmann::json medians = nlohmann::json::array();
  for (const Round& round : row.rounds) medians.push_back(median_of(round.times_us));
  line.update({{"buffer_bytes", row.buffer_bytes()},
               {"median_us", row.quantile_us(0.5)},
               {"min_us", row.quantile_us(0)},
               {"p99_us", row.quantile_us(0.99)},
               {"busbw_GBps", row.busbw_GBps()},
               {"cpu_s_per_GB", row.cpu_seconds_per_GB()},
               {"tcp_bytes_per_op", row.tcp_bytes_per_op()},
               {"congestion_control", row.rounds.front().congestion},
               {"iterations", row.iterations()},
               {"round_median_us", medians}});
  if (const double limit = report.limit_of(row); limit > 0) {
    line["of_limit"] = row.busbw_GBps() / limit;
  }
  if (const Row* ours = report.ours_beside(row)) {
    const Ratio ratio = ratio_of(*ours, row);
    line["ours_over_theirs"] = ratio.overall;
    line["ours_over_theirs_rounds"] = ratio.spread;
  }
  return line;
}

nlohmann::json json_of(int world, const Limits& limit) {
  return {{"n", world},
          {"receive_GBps", limit.receive},
          {"add_GBps", limit.add},
          {"allreduce_GBps", limit.allreduce()},
          {"memcpy_1MiB_GBps", limit.copy_1mib},
          {"memcpy_16MiB_GBps", limit.copy_16mib},
          {"memcpy_64MiB_GBps", limit.copy_64mib}};
}

}  // namespace

bool write_json(const Report& report, const std::string& path) {
  nlohmann::json limits = nlohmann::json::array();
  for (const auto& [world, rounds] : report.limits) {
    limits.push_back(json_of(world, report.limit_of(world)));
  }
  nlohmann::json rows = nlohmann::json::array();
  for (const Row& row : report.rows) {
    if (row.not_yet || row.iterations() > 0) rows.push_back(json_of(report, row));
  }
  const nlohmann::json all = {
      {"cores", report.cores},         {"congestion_control", report.congestion},
      {"in_place", report.in_place},   {"line_MBps", report.line_GBps * 1e3},
      {"libraries", report.libraries}, {"missing", report.missing},
      {"failures", report.failures},   {"notes", report.notes},
      {"raw_limits", limits},          {"rows", rows}};
  std::ofstream file(path);
  file << all.dump(2) << '\n';
  return static_cast<bool>(file.flush());
}

}  // namespace rhz::perf
