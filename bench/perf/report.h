// What was measured, and what follows from it.
#pragma once

#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "bench/perf/rank_group.h"

namespace rhz::perf {

// What the machine gives without any library, same run: perf_raw_ring. GB/s, median of the rounds.
struct Limits {
  double receive = 0;  // per rank, N processes streaming in a ring
  double add = 0;      // the same, every byte added into a large buffer
  double copy_1mib = 0, copy_16mib = 0, copy_64mib = 0;  // memcpy, one thread

  // An all-reduce adds half of the bytes that it receives.
  double allreduce() const { return receive > 0 && add > 0 ? 2 / (1 / receive + 1 / add) : 0; }
};

struct Row {
  int world = 0;
  perf_collective collective = PERF_ALLREDUCE;
  size_t bytes = 0;       // nominal; 0: a barrier
  std::string contender;  // "ours-tcp"
  std::string transport;
  int ops = 1;           // in flight at once
  bool not_yet = false;  // ours cannot do that collective
  std::vector<Round> rounds;

  double quantile_us(double q) const;  // 0: the fastest iteration; of all rounds
  double busbw_GBps() const;           // as nccl-tests: collective.h
  double cpu_seconds_per_GB()
      const;                        // of all ranks, barriers included, per GB of the larger buffer
  double tcp_bytes_per_op() const;  // of all ranks, sent ones
  size_t iterations() const;
  size_t buffer_bytes() const;
  // Most of the payload went over TCP. It settles whether a transport was really forced.
  bool went_over_tcp() const;
  bool ours() const { return contender.rfind("ours-", 0) == 0 && contender.find('+') == std::string::npos && ops == 1; }
};

struct Report {
  int cores = 0;
  std::string congestion;  // the system's
  bool in_place = false;
  double line_GBps = 0;                          // between namespaces; 0: no such line
  std::map<std::string, std::string> libraries;  // contender: version and what was forced
  std::map<std::string, std::string> missing;    // contender: why it does not take part
  std::map<std::string, std::string> failures;   // "N = 2, ours-tcp": what went wrong
  std::vector<std::string> notes;
  std::vector<Row> rows;                      // by world, collective, size, contender
  std::map<int, std::vector<Limits>> limits;  // by world; one per round

  Limits limit_of(int world) const;
  // What no all-reduce of that row's transport can exceed, GB/s; 0: unknown.
  double limit_of(const Row& row) const;
  // Ours in the same line of the table, by transport; null: none, or it has no figure.
  const Row* ours_beside(const Row& theirs) const;
};

// Ours / theirs in busbw, > 1: ours is faster. `spread`: the same for each round, sorted.
struct Ratio {
  double overall = 0;
  std::vector<double> spread;
};
Ratio ratio_of(const Row& ours, const Row& theirs);

double median_of(std::vector<double> values);
std::string size_text(size_t bytes);

void print_table(const Report& report, FILE* out);
// False: the file cannot be written.
bool write_json(const Report& report, const std::string& path);
bool write_svg(const Report& report, const std::string& path);

}  // namespace rhz::perf
