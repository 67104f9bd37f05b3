// What the benchmarks share: which reduction, how it is named on the command line, and the files
// that hold their parts.
//
//   bench.cc            the command lines
//   bench_world.*       a coordinator and its ranks, as processes that talk in lines
//   bench_rank*         one rank (the hidden subcommand bench-rank)
//   bench_state.cc      attach and snapshots
//   bench_snapshot_steps.cc   what they cost a pipeline that trains
//   bench_source.cc     what a lost peer of a pipeline gets its state back from
//   trainer_run.*       the pipeline under `rhizome run`
//   bench_convergence.cc, convergence*   what each way to get a stage back costs in the end
//   bench_values.*      inputs and what must come out
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "api/tools/convergence.h"
#include "runtime/base/status.h"

namespace rhz::tools {

// How ops are submitted, on all ranks alike.
struct Reduction {
  std::string dtype = "f32", redop = "sum", rebuild = "strict";
  bool in_place = false;
  bool huge_pages = false;  // of the buffers, where the system grants them on request
};
// Their RHZ_* numbers; 0: no such name.
uint32_t dtype_number(const std::string& name);
uint32_t redop_number(const std::string& name);
uint32_t rebuild_number(const std::string& name);
uint32_t dtype_bytes(const std::string& name);

struct AllreduceOptions {
  uint32_t ranks = 4;
  std::vector<uint64_t> bytes;
  std::string transport = "auto";
  uint32_t verify = 0, protection = 0;  // RHZ_VERIFY_*, RHZ_PROTECTION_*
  Reduction reduction;
  uint32_t iterations = 0;  // 0: by the size
  bool json = false;
};
int bench_allreduce(const AllreduceOptions& options);

struct RecoveryOptions {
  uint32_t ranks = 4;
  uint64_t bytes = 0;
  std::string transport = "auto", fault = "kill", kill_phase = "any", log_dir;
  Reduction reduction;
  uint32_t reps = 20, suspicion_ms = 1000;
  uint32_t stop_ms = 0;  // a stopped victim is thawed after this; 0: once the others are done
  uint64_t seed = 0;     // 0: random
  bool json = false;
  // With a source: what gives a peer of pipeline_lm its state back, and the op plays no part.
  std::string source, trainer;
  uint32_t snapshot_every = 0, batch = 1;
};
int bench_recovery(const RecoveryOptions& options);
int bench_source(const RecoveryOptions& options);

int bench_convergence(const ConvergenceOptions& options);

// `bench attach` and `bench snapshot`.
struct StateOptions {
  bool attach = false;
  uint64_t bytes = 0;
  uint32_t reps = 10;
  bool check = true;  // compare digests
  bool json = false;
  bool pipeline = false;  // snapshots of a pipeline's stages, beside its steps
  uint32_t steps = 200;
  std::string trainer;
};
int bench_snapshot_steps(const StateOptions& options);
int bench_state(const StateOptions& options);

struct RankOptions {
  std::string coordinator, kind, plan;  // plan: BYTES:ITERATIONS,…
  uint32_t slot = 0, ranks = 0, before = 0, after = 0;
  Reduction reduction;
};
int bench_rank(const RankOptions& options);

// The congestion control that TCP connections within this host get.
std::string congestion_control();

}  // namespace rhz::tools
