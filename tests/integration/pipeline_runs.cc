#include "tests/integration/pipeline_runs.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <set>

namespace rhz::test {

Words pipeline(const PipelineRun& run, const std::string& how, const std::string& more) {
  return words("run -n " + std::to_string(run.stages * run.replicas) + " " + how + " --") +
         Words{RHZ_TEST_PIPELINE_LM} +
         words("--stages " + std::to_string(run.stages) + " --replicas " +
               std::to_string(run.replicas) + " --batch " + std::to_string(run.batch) +
               " --context " + std::to_string(run.context) + " --width " +
               std::to_string(run.width) + " --micro-batches " +
               std::to_string(run.micro_batches) + " --steps " + std::to_string(run.steps)) +
         words(more);
}

PipelineRun long_run(uint32_t stages, uint32_t replicas) {
  PipelineRun run{stages, replicas};
  run.steps = 40;
  return run;
}

PipelineEnds ends_of(Cli& command, const PipelineRun& run) {
  PipelineEnds ends;
  std::set<std::string> losses;
  for (uint32_t slot = 0; slot < run.stages * run.replicas; ++slot) {
    const Line line = command.await("final step=" + std::to_string(run.steps));
    const std::string digest = line.text("digest");
    const auto known = ends.digests.emplace(line.number("stage"), digest).first;
    EXPECT_EQ(known->second, digest) << line.raw;
    losses.insert(line.text("loss"));
    ends.loss = std::strtod(line.text("loss").c_str(), nullptr);
    ends.first_loss = std::strtod(line.text("first_loss").c_str(), nullptr);
  }
  EXPECT_EQ(ends.digests.size(), run.stages);
  EXPECT_EQ(losses.size(), 1u);
  EXPECT_EQ(command.end(), 0) << command.errors();
  return ends;
}

PipelineEnds ends_without_losses(const PipelineRun& run) {
  static std::map<Words, PipelineEnds> known;  // of this process: many tests want the same
  const Words line = pipeline(run, "", "--policy replay");
  if (const auto found = known.find(line); found != known.end()) return found->second;
  constexpr int kTries = 5;
  for (int i = 0; i < kTries; ++i) {
    Cli command(line);
    const PipelineEnds ends = ends_of(command, run);
    const std::string said = command.output();
    if (said.find("] recovered stage=") == std::string::npos)
      return testing::Test::HasFailure() ? ends : known[line] = ends;
    std::printf("a run in which nobody is killed lost a peer; once more:\n%s", said.c_str());
  }
  ADD_FAILURE() << kTries << " runs in a row lost a peer that nobody had killed";
  return {};
}

PipelineRun as_said(Cli& command, PipelineRun run) {
  for (const std::string& raw : command.rest()) {
    EXPECT_EQ(raw.find("went_back"), std::string::npos) << raw;
    const Line line = parse_line(raw);
    if (line.text("counted").empty() || line.number("counted") == run.micro_batches) continue;
    const auto strands = static_cast<uint32_t>(line.number("strands"));
    EXPECT_EQ(run.strands.emplace(line.number("step"), strands).first->second, strands) << raw;
  }
  return run;
}

}  // namespace rhz::test
