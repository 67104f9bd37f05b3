// `rhizome bench allreduce`: starts the ranks, puts their times together, prints.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "api/tools/bench_world.h"
#include "api/tools/commands.h"
#include "api/tools/text.h"
#include "runtime/transport/open.h"

namespace rhz::tools {
namespace {

constexpr uint64_t kStartNs = 60'000'000'000;     // for starting, joining and a warm-up
constexpr uint64_t kSilenceNs = 120'000'000'000;  // no rank said anything: something hangs

// About two seconds a size, and enough for a median.
uint32_t iterations_for(uint64_t bytes) {
  if (bytes <= (64u << 10)) return 2000;
  if (bytes <= (1u << 20)) return 400;
  if (bytes <= (16u << 20)) return 60;
  if (bytes <= (64u << 20)) return 20;
  return 10;
}

// What the ops of a size are chosen by.
struct CostLine {
  bool known = false;
  double local_us = 0, local_GBps = 0, remote_us = 0, remote_GBps = 0, reduce_GBps = 0;
  std::vector<std::pair<std::string, double>> predicted_us;  // by algorithm
};

CostLine cost_line(std::string_view line) {
  CostLine costs;
  costs.known = whole(line, "known") != 0;
  const auto scaled = [&](const char* key, double unit) { return static_cast<double>(whole(line, key)) / unit; };
  costs.local_us = scaled("local_ns", 1e3);
  costs.local_GBps = scaled("local_rate", 1e9);
  costs.remote_us = scaled("remote_ns", 1e3);
  costs.remote_GBps = scaled("remote_rate", 1e9);
  costs.reduce_GBps = scaled("reduce_rate", 1e9);
  static constexpr const char* kNames[] = {"ring", "direct", "doubling", "halving", "tree", "hierarchical"};
  const auto times = split(std::string(field(line, "predicted")), ',');
  for (size_t i = 0; i < times.size() && i < std::size(kNames); ++i)
    if (const double ns = std::strtod(times[i].c_str(), nullptr); ns > 0) costs.predicted_us.emplace_back(kNames[i], ns / 1e3);
  return costs;
}

nlohmann::ordered_json to_json(const CostLine& costs) {
  if (!costs.known) return nullptr;
  nlohmann::ordered_json predicted = nlohmann::ordered_json::object();
  for (const auto& [name, us] : costs.predicted_us) predicted[name] = us;
  return {{"local_latency_us", costs.local_us},
          {"local_GBps", costs.local_GBps},
          {"remote_latency_us", costs.remote_us},
          {"remote_GBps", costs.remote_GBps},
          {"reduce_GBps", costs.reduce_GBps},
          {"predicted_us", predicted}};
}

std::string to_text(const CostLine& costs) {
  if (!costs.known) return "           chosen by rule: nothing was measured yet";
  std::string text = "           measured:";
  if (costs.local_us > 0) text += format(" in a host %.1f us %.2f GB/s;", costs.local_us, costs.local_GBps);
  if (costs.remote_us > 0) text += format(" between hosts %.1f us %.2f GB/s;", costs.remote_us, costs.remote_GBps);
  text += format(" reduce %.1f GB/s; predicted us:", costs.reduce_GBps);
  for (const auto& [name, us] : costs.predicted_us) text += format(" %s %.1f", name.c_str(), us);
  return text;
}

struct RankRow {  // of one rank, one size
  std::vector<double> times_us;
  uint64_t wrong = 0, rss_extra = 0, cpu_ns = 0;
  std::string algorithm;
  CostLine costs;
};

class Bench {
 public:
  explicit Bench(const AllreduceOptions& options) : o_(options), rows_(options.ranks) {}

  int run() {
    WorldOptions world;
    world.rank.kind = "allreduce";
    world.rank.ranks = o_.ranks;
    world.rank.reduction = o_.reduction;
    world.transport = o_.transport;
    world.verify = o_.verify;
    world.protection = o_.protection;
    for (uint64_t bytes : o_.bytes) {
      const uint32_t n = o_.iterations ? o_.iterations : iterations_for(bytes);
      world.rank.plan += format("%s%llu:%u", world.rank.plan.empty() ? "" : ",",
                                static_cast<unsigned long long>(bytes), n);
    }
    auto started = BenchWorld::start(world);
    if (!started) return complain("bench allreduce", started.status().text());
    world_ = std::move(started).value();
    print_head();
    uint64_t deadline = monotonic_ns() + kStartNs;
    auto on_line = [&](uint32_t rank, std::string_view line) {
      deadline = monotonic_ns() + kSilenceNs;
      said(rank, line);
    };
    while (failure_.empty() && world_->any_alive() && monotonic_ns() < deadline) {
      world_->pump(deadline, on_line, [&] { return !failure_.empty() || rows_ready(); });
      while (failure_.empty() && rows_ready()) print_row();
    }
    if (failure_.empty() && printed_ < o_.bytes.size())
      failure_ = world_->any_alive() ? "a rank says nothing any more" : "a rank ended early";
    if (!failure_.empty()) return complain("bench allreduce", failure_);
    if (wrong_ > 0) {
      return complain("bench allreduce", format("%llu elements of the results are wrong",
                                                static_cast<unsigned long long>(wrong_)));
    }
    return 0;
  }

 private:
  void said(uint32_t rank, std::string_view line) {
    std::vector<RankRow>& rows = rows_[rank];
    if (line.starts_with("@t ")) {
      pending(rows).times_us.push_back(number(line, "us"));
    } else if (line.starts_with("@costs ")) {
      pending(rows).costs = cost_line(line);
    } else if (line.starts_with("@row ")) {
      RankRow& row = pending(rows);
      row.wrong = whole(line, "wrong");
      row.rss_extra = whole(line, "rss_extra");
      row.cpu_ns = whole(line, "cpu_ns");
      row.algorithm = field(line, "algorithm");
      rows.emplace_back();
    } else if (line.starts_with("@fail")) {
      failure_ = format("rank %u: %s", rank, std::string(field(line, "text")).c_str());
    } else if (!line.starts_with("@")) {
      std::fprintf(stderr, "[rank %u] %.*s\n", rank, static_cast<int>(line.size()), line.data());
    }
  }

  static RankRow& pending(std::vector<RankRow>& rows) {
    if (rows.empty()) rows.emplace_back();
    return rows.back();
  }

  // All ranks have told the next size to the end: one more, empty or begun, follows it.
  bool rows_ready() const {
    return printed_ < o_.bytes.size() &&
           std::all_of(rows_.begin(), rows_.end(),
                       [&](const auto& rows) { return rows.size() > printed_ + 1; });
  }

  void print_head() const {
    if (o_.json) return;
    const bool tcp = transport_ == std::string_view("tcp");
    const std::string how = tcp ? "tcp (" + congestion_control() + ")" : transport_;
    std::printf(
        "all-reduce %s %s, %u ranks, %s, %s, rebuild %s; busbw = 2(N-1)/N bytes/time, "
        "GB = 10^9 bytes\n",
        o_.reduction.dtype.c_str(), o_.reduction.redop.c_str(), o_.ranks,
        how.c_str(), o_.reduction.in_place ? "in place" : "out of place",
        o_.reduction.rebuild.c_str());
    std::printf("%10s %12s %6s %12s %12s %12s %8s %8s %8s %10s\n", "size", "algo", "ops",
                "median us", "min us", "p99 us", "algbw", "busbw", "cpu s/GB", "extra RSS");
    std::fflush(stdout);
  }

  void print_row() {
    const uint64_t bytes = o_.bytes[printed_];
    std::vector<double> slowest;  // per op
    uint64_t rss = 0, cpu_ns = 0;
    for (const auto& rows : rows_) {
      const RankRow& row = rows[printed_];
      slowest.resize(std::max(slowest.size(), row.times_us.size()));
      for (size_t i = 0; i < row.times_us.size(); ++i)
        slowest[i] = std::max(slowest[i], row.times_us[i]);
      wrong_ += row.wrong;
      rss = std::max(rss, row.rss_extra);
      cpu_ns += row.cpu_ns;
    }
    const std::string algorithm = rows_[0][printed_].algorithm;
    const CostLine costs = rows_[0][printed_].costs;
    ++printed_;
    const double median = percentile(slowest, 50), least = percentile(slowest, 0),
                 p99 = percentile(slowest, 99);
    const double algbw = static_cast<double>(bytes) / median / 1e3;
    const double busbw = algbw * 2 * (o_.ranks - 1) / o_.ranks;
    const double gigabytes = static_cast<double>(bytes) * static_cast<double>(slowest.size()) / 1e9;
    const double cpu = static_cast<double>(cpu_ns) / 1e9 / gigabytes;
    if (o_.json) {
      const nlohmann::ordered_json row{{"bench", "allreduce"},
                                       {"n", o_.ranks},
                                       {"transport", transport_},
                                       {"dtype", o_.reduction.dtype},
                                       {"bytes", bytes},
                                       {"algorithm", algorithm},
                                       {"median_us", median},
                                       {"min_us", least},
                                       {"p99_us", p99},
                                       {"algbw_GBps", algbw},
                                       {"busbw_GBps", busbw},
                                       {"iterations", slowest.size()},
                                       {"redop", o_.reduction.redop},
                                       {"rebuild", o_.reduction.rebuild},
                                       {"in_place", o_.reduction.in_place},
                                       {"congestion", congestion_control()},
                                       {"peak_rss_extra_bytes", rss},
                                       {"cpu_seconds_per_GB", cpu},
                                       {"wrong", wrong_},
                                       {"costs", to_json(costs)}};
      std::printf("%s\n", row.dump().c_str());
    } else {
      std::printf("%10s %12s %6zu %12.1f %12.1f %12.1f %8.3f %8.3f %8.2f %10s\n",
                  bytes_text(bytes).c_str(), algorithm.c_str(), slowest.size(), median, least, p99, algbw,
                  busbw, cpu, bytes_text(rss).c_str());
      std::printf("%s\n", to_text(costs).c_str());
    }
    std::fflush(stdout);
  }

  const AllreduceOptions& o_;
  const char* const transport_ =
      transport_within_host(parse_transport(o_.transport).value());  // all ranks are here
  std::unique_ptr<BenchWorld> world_;
  std::vector<std::vector<RankRow>> rows_;  // [rank][size]
  size_t printed_ = 0;
  uint64_t wrong_ = 0;
  std::string failure_;
};

}  // namespace

int bench_allreduce(const AllreduceOptions& options) { return Bench(options).run(); }

}  // namespace rhz::tools
