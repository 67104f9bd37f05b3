// The model of pipeline_lm, trained by one process: what a pipeline has to compute.
#pragma once

#include <cstdint>
#include <map>

namespace rhz::test {

struct PipelineRun {
  uint32_t stages = 4;
  uint32_t replicas = 1;  // whose gradients are added up one by one, and then to each other
  uint32_t micro_batches = 4;
  uint32_t batch = 1;
  uint32_t context = 16;
  uint32_t width = 64;
  uint64_t steps = 6;
  // Of a step in which not all micro-batches counted: a bit for each strand (micro-batches of one
  // remainder by the replicas) that did.
  std::map<uint64_t, uint32_t> strands{};
};

// The loss of the last step, with micro-batches in the plain order and all other options at their
// defaults.
double loss_of_one_process(const PipelineRun& run);

}  // namespace rhz::test
