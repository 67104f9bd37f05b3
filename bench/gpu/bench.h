// The parts of rhz_gpu_bench.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/gpu/meeting.h"

namespace rhz::gpu {

struct Options {
  uint32_t ranks = 2;
  uint64_t most_bytes = uint64_t{1} << 30;
  uint32_t faults = 0;
  uint64_t state_bytes = 0;  // 0: no state, but all-reduces
  bool sweep = false, api = true, only_faults = false;
  std::string nccl = "libnccl.so.2";
};

// Forks the ranks, each with its device; false when one failed or a result was wrong.
bool run_ranks(Meeting& meeting, uint32_t ranks, void (*rank)(Meeting&, const Options&, uint32_t),
               const Options& options);

// speed.cc: the kernels, NCCL, the C API, by turns.
void measure_speed(Meeting& meeting, const Options& options, uint32_t rank);
// accuracy.cc: every kernel, of every type, against float64.
void measure_accuracy(Meeting& meeting, const Options& options, uint32_t rank);
// state.cc: attach and snapshots, one trainer at a time.
bool measure_state(const Options& options);
bool measure_held(const Options& options);
// faults.cc: a rank is killed while all kernels run.
bool measure_faults(const Options& options);

// What a rank puts at `i`: random bits of a float in [-1, 1).
inline float random_value(uint32_t rank, uint64_t i) {
  uint64_t x = (i + 1) * 0x9E3779B97F4A7C15ull + (rank + 1) * 0xD1B54A32D192ED03ull;
  x ^= x >> 31, x *= 0x94D049BB133111EBull, x ^= x >> 29;
  return static_cast<float>(static_cast<int32_t>(x >> 32)) / 2147483648.0f;
}
// In the order of the ranks, as the kernels add.
inline float sum_at(uint32_t ranks, uint64_t i) {
  float sum = 0;
  for (uint32_t r = 0; r < ranks; ++r) sum += random_value(r, i);
  return sum;
}
double median(std::vector<double> values);
double now_us();

}  // namespace rhz::gpu
