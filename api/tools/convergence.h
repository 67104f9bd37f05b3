// What `bench convergence` compares, and what follows from what it saw.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rhz::tools {

struct ConvergenceOptions {
  std::string trainer, svg;
  std::vector<std::string> methods;  // empty: all
  uint32_t stages = 4, steps = 300, failures = 6, seeds = 3, batch = 2, context = 32;
  uint32_t layers = 1, width = 128, micro_batches = 4;  // layers: of a stage
  double learning_rate = 1e-3;
  uint32_t checkpoint_every = 50;
  uint64_t seed = 1;  // of the first; each further one is one more
  double loss = 0;    // to be reached; 0: what the run without failures has after 80 % of its steps
  bool json = false;
};

// A way to get a lost stage back.
struct Method {
  const char* name;
  const char* arguments;   // of the trainer
  bool fails = true;       // false: the same run without failures
  bool disk = false;       // with checkpoints
  bool exact_now = false;  // no step is lost, but for one: what the others are held against
  bool shards = false;     // a host for each peer
};
const std::vector<Method>& convergence_methods();

// Every step that was made, in the order of time: those that were made again too.
struct Sample {
  uint64_t step = 0;
  double seconds = 0;  // since the first one began
  double loss = 0;
};
struct ConvergenceRun {
  const Method* method = nullptr;
  uint64_t seed = 0;
  std::vector<Sample> samples;
  uint32_t recoveries = 0;
  std::string failure;  // why it did not end
};

// The mean of the loss of the last so many steps, at each sample.
inline constexpr uint32_t kSmoothed = 20;
std::vector<double> smoothed(const ConvergenceRun& run);

// Prints a table or an object; writes the plot where one is asked for.  False: it cannot be
// written.
bool report_convergence(const ConvergenceOptions& options, const std::vector<ConvergenceRun>& runs);

}  // namespace rhz::tools
