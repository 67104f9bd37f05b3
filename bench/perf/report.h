// What was measured, as a table and as JSON.
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
  size_t bytes = 0;
  std::string library;  // "ours" or the peer's short name
  std::vector<Round> rounds;

  double quantile_us(double q) const;  // 0: the fastest iteration; of all rounds
  double busbw_GBps() const;           // 2(N-1)/N · bytes / median time
  double cpu_seconds_per_GB() const;   // of all ranks, barriers included, per GB of result
  size_t iterations() const;
};

struct Report {
  int cores = 0;
  std::string congestion;  // the system's
  bool in_place = false;
  std::string rebuild;
  std::map<std::string, std::string> libraries;  // short name → version and settings
  std::map<std::string, std::string> failures;   // "N = 2, ours" → what went wrong
  std::vector<Row> rows;                         // by world, size; ours first
  std::map<int, std::vector<Limits>> limits;     // by world; one per round

  Limits limit_of(int world) const;
};

// Ours / theirs in busbw, > 1: ours is faster. `spread`: the same for each round, sorted.
struct Ratio {
  double overall = 0;
  std::vector<double> spread;
};
Ratio ratio_of(const Row& ours, const Row& theirs);

double median_of(std::vector<double> values);
void print_table(const Report& report, FILE* out);
bool write_json(const Report& report, const std::string& path);

}  // namespace rhz::perf
