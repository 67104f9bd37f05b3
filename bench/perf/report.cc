#include "bench/perf/report.h"

#include <algorithm>
#include <cmath>

namespace rhz::perf {
namespace {

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double rank = std::ceil(q * static_cast<double>(values.size()));  // nearest rank
  return values[std::min(values.size(), std::max<size_t>(1, static_cast<size_t>(rank))) - 1];
}

}  // namespace

double median_of(std::vector<double> values) { return quantile(std::move(values), 0.5); }

std::string size_text(size_t bytes) {
  if (bytes == 0) return "–";
  if (bytes % (1 << 30) == 0) return std::to_string(bytes >> 30) + " GiB";
  if (bytes % (1 << 20) == 0) return std::to_string(bytes >> 20) + " MiB";
  if (bytes % (1 << 10) == 0) return std::to_string(bytes >> 10) + " KiB";
  return std::to_string(bytes) + " B";
}

double Row::quantile_us(double q) const {
  std::vector<double> all;
  for (const Round& round : rounds) {
    all.insert(all.end(), round.times_us.begin(), round.times_us.end());
  }
  return quantile(std::move(all), q);
}

size_t Row::buffer_bytes() const {
  return perf_buffer_bytes(collective, perf_count(collective, bytes, world), world);
}

double Row::busbw_GBps() const {
  const double moved = perf_busbw_factor(collective, world) * static_cast<double>(buffer_bytes());
  return moved / (quantile_us(0.5) * 1e3);
}

double Row::cpu_seconds_per_GB() const {
  double seconds = 0;
  for (const Round& round : rounds) seconds += round.cpu_seconds;
  if (buffer_bytes() == 0) return 0;
  return seconds / (static_cast<double>(buffer_bytes()) * static_cast<double>(iterations()) / 1e9);
}

double Row::tcp_bytes_per_op() const {
  double sum = 0;
  for (const Round& round : rounds) sum += static_cast<double>(round.tcp_bytes);
  return sum / 2 / static_cast<double>(iterations());  // each was counted on both sides
}

// Every collective moves at least the larger buffer once, all ranks together: two ranks'
// reduce-scatter.
bool Row::went_over_tcp() const {
  return tcp_bytes_per_op() > 0.5 * static_cast<double>(buffer_bytes());
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

double Report::limit_of(const Row& row) const {
  if (row.collective != PERF_ALLREDUCE || row.transport != "tcp") return 0;
  return line_GBps > 0 ? line_GBps : limit_of(row.world).allreduce();
}

const Row* Report::ours_beside(const Row& theirs) const {
  if (theirs.ours()) return nullptr;
  for (const Row& row : rows) {
    const bool same = row.world == theirs.world && row.bytes == theirs.bytes &&
                      row.collective == theirs.collective && row.transport == theirs.transport;
    if (same && row.ours() && row.iterations() > 0) return &row;
  }
  return nullptr;
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

}  // namespace rhz::perf
