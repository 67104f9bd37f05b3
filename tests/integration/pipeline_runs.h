// Runs of pipeline_lm under `rhizome run`, and what they say at their end.
#pragma once

#include <map>
#include <string>

#include "tests/integration/cli.h"
#include "tests/integration/pipeline_reference.h"

namespace rhz::test {

// Of the stages and replicas, one micro-batch a stage, small ones; `how`: options of `rhizome run`;
// `more`: last words of pipeline_lm.
Words pipeline(const PipelineRun& run, const std::string& how, const std::string& more = "");

// Long enough for a replacement to come back before the end.
PipelineRun long_run(uint32_t stages, uint32_t replicas);
inline const std::string kUnhurried = "--min-step-ms 50 ";

// What the "final" lines of all slots say; each stage's replicas must have ended with one digest.
struct PipelineEnds {
  std::map<uint64_t, std::string> digests;  // by stage
  double loss = 0, first_loss = 0;
};
PipelineEnds ends_of(Cli& command, const PipelineRun& run);

// Of a run in which nobody was lost.  A busy machine may cost one a peer, and a lost stage without
// replicas its exact state: such a run says nothing, and another one is made.
PipelineEnds ends_without_losses(const PipelineRun& run);

// The same run, with the strands that its steps say they had: a busy machine may cost it more than
// the test does.  After its end; all peers must have said the same.
PipelineRun as_said(Cli& command, PipelineRun run);

}  // namespace rhz::test
