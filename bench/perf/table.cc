// The table on the terminal.
#include "bench/perf/report.h"

namespace rhz::perf {
namespace {

// Columns by characters, not bytes: "–" and "µ" are more than one byte.
std::string padded(const std::string& text, int width) {
  int characters = 0;
  for (const char c : text) characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return std::string(static_cast<size_t>(characters < width ? width - characters : 0), ' ') + text;
}

std::string number(double value, int decimals) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

// Three digits that matter, from 4 bytes to gigabytes.
std::string short_number(double value) {
  if (value <= 0) return "0";
  if (value >= 1e4 || value < 1e-4) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1e", value);
    return text;
  }
  return number(value, value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : value >= 0.1 ? 3 : 4);
}

std::string ratio_text(const Report& report, const Row& row) {
  const Row* ours = report.ours_beside(row);
  if (!ours) return "";
  const Ratio ratio = ratio_of(*ours, row);
  std::string text = padded(number(ratio.overall, 2), 6);
  if (ratio.spread.empty()) return text;
  return text + " (" + number(ratio.spread.front(), 2) + " … " + number(ratio.spread.back(), 2) +
         ")";
}

// What a reader has to know before believing the row.
std::string warning_of(const Report& report, const Row& row) {
  std::string text;
  const bool enough = row.buffer_bytes() >= 64 << 10;  // launchers and heartbeats chatter over TCP
  const bool known = row.transport == "tcp" || row.transport == "shm";
  if (enough && known && row.went_over_tcp() != (row.transport == "tcp")) {
    text += row.went_over_tcp() ? "  went over TCP" : "  did not go over TCP";
  }
  const std::string& congestion = row.rounds.front().congestion;
  if (row.transport == "tcp" && congestion != report.congestion) text += "  under " + congestion;
  return text;
}

void print_row(const Report& report, const Row& row, FILE* out) {
  std::fprintf(out, "%d  %-14s %8s  %-13s", row.world, perf_collective_name(row.collective),
               padded(size_text(row.bytes), 8).c_str(), row.contender.c_str());
  if (row.not_yet) {
    std::fprintf(out, "%s\n", padded("not yet", 11).c_str());
    return;
  }
  const double limit = report.limit_of(row);
  const bool barrier = row.bytes == 0;
  const std::string columns[] = {
      padded(number(row.quantile_us(0.5), 1), 11),
      padded(number(row.quantile_us(0), 1), 11),
      padded(number(row.quantile_us(0.99), 1), 11),
      padded(barrier ? "–" : short_number(row.busbw_GBps()), 10),
      padded(barrier ? "–" : short_number(row.cpu_seconds_per_GB()), 10),
      padded(limit > 0 ? number(100 * row.busbw_GBps() / limit, 0) + " %" : "–", 9),
  };
  for (const std::string& column : columns) std::fprintf(out, "%s", column.c_str());
  std::string rest = "  " + ratio_text(report, row) + warning_of(report, row);
  rest.erase(rest.find_last_not_of(' ') + 1);
  std::fprintf(out, "%s\n", rest.c_str());
}

void print_head(const Report& report, FILE* out) {
  std::fprintf(
      out,
      "\nf32 sum, %s; time of the slowest rank; %d cores; the system's congestion control: "
      "%s\n",
      report.in_place ? "in place" : "out of place", report.cores, report.congestion.c_str());
  for (const auto& [name, what] : report.libraries) {
    std::fprintf(out, "%-13s %s\n", name.c_str(), what.c_str());
  }
  for (const auto& [name, why] : report.missing) {
    std::fprintf(out, "%-13s left out: %s\n", name.c_str(), why.c_str());
  }
  std::fprintf(out,
               "\nN  collective         size  contender      median µs     min µs     p99 µs "
               "busbw GB/s CPU s/GB of limit  ours/theirs (rounds)\n");
}

void print_limits(const Report& report, FILE* out) {
  for (const auto& [world, rounds] : report.limits) {
    const Limits limit = report.limit_of(world);
    std::fprintf(out,
                 "raw TCP ring, N = %d: receive %.2f, add %.2f, limit of an all-reduce %.2f GB/s; "
                 "memcpy 1 / 16 / 64 MiB: %.1f / %.1f / %.1f GB/s\n",
                 world, limit.receive, limit.add, limit.allreduce(), limit.copy_1mib,
                 limit.copy_16mib, limit.copy_64mib);
  }
  if (report.line_GBps > 0) {
    std::fprintf(out, "the line, by iperf3: %.1f MB/s\n", report.line_GBps * 1e3);
  }
}

}  // namespace

void print_table(const Report& report, FILE* out) {
  print_head(report, out);
  const Row* before = nullptr;
  for (const Row& row : report.rows) {
    if (!row.not_yet && row.iterations() == 0) continue;
    const bool next_size = before && (before->bytes != row.bytes || before->world != row.world ||
                                      before->collective != row.collective);
    if (next_size) std::fprintf(out, "\n");
    print_row(report, row, out);
    before = &row;
  }
  std::fprintf(out, "\n");
  print_limits(report, out);
  for (const std::string& note : report.notes) std::fprintf(out, "%s\n", note.c_str());
  for (const auto& [who, what] : report.failures) {
    std::fprintf(out, "FAILED %s: %s\n", who.c_str(), what.c_str());
  }
}

}  // namespace rhz::perf
