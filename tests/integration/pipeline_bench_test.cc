// The benchmarks that drive pipeline_lm: that they come to their end, and what they print.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/integration/pipeline_runs.h"

namespace rhz::test {
namespace {

Words bench(const std::string& text) {
  return words("bench " + text + " --trainer") + Words{RHZ_TEST_PIPELINE_LM};
}

TEST(PipelineBench, TimesWhatEachSourceTakes) {
  for (const char* source : {"replica", "attach", "vault", "shards", "shadow", "average", "disk"}) {
    Cli command(bench(std::string("recovery --reps 1 --json --source ") + source));
    EXPECT_EQ(command.end(), 0) << command.errors();
    expect_has(
        command.output(),
        {"\"bench\":\"recovery\"", std::string("\"source\":\"") + source + "\"", "\"reps\":1",
         "detect_ms", "agreed_ms", "usable_ms", "restored_ms", "first_step_ms", "steps_lost"});
  }
  Cli continued(bench("recovery --reps 1 --source replica --batch 2"));
  EXPECT_EQ(continued.end(), 0) << continued.errors();
  expect_has(continued.output(), {"the step with the death", "against the usual one, %",
                                  "micro-batches lost, of 4", "were begun anew"});
  Cli table(bench("recovery --reps 1 --source vault"));
  EXPECT_EQ(table.end(), 0) << table.errors();
  expect_has(table.output(), {"recovery from vault", "detected (sealed)", "state restored",
                              "first step done by all", "steps lost"});
}

TEST(PipelineBench, RefusesSourcesMethodsAndTrainersThatThereAreNot) {
  Cli source(bench("recovery --source moon"));
  EXPECT_EQ(source.end(), 2);
  expect_has(source.errors(), {"\"moon\"", "replica, attach, vault, shards, shadow"});
  Cli method(bench("convergence --methods vault,moon"));
  EXPECT_EQ(method.end(), 2);
  expect_has(method.errors(), {"\"moon\"", "checkfree+"});
  Cli trainer(words("bench recovery --source vault --trainer /no/such/program"));
  EXPECT_EQ(trainer.end(), 2);
  expect_has(trainer.errors(), {"/no/such/program", "--trainer"});
}

// Exact sources end where the run without failures ends.
TEST(PipelineBench, ComparesWhatEachWayToGetAStageBackCosts) {
  const Folder folder;
  const std::string svg = folder.file("plot.svg");
  Cli command(
      bench("convergence --steps 30 --failures 2 --seeds 1 --batch 1 --context 16 --width 32 "
            "--checkpoint-every 10 --svg " +
            svg));
  EXPECT_EQ(command.end(), 0) << command.errors() << command.output();
  const std::string output = command.output();
  std::map<std::string, std::string> end_loss;
  std::istringstream lines(output);
  for (std::string line, method, runs, loss; std::getline(lines, line);) {
    std::istringstream fields(line);
    if (fields >> method >> runs >> loss && runs == "1") end_loss[method] = loss;
  }
  EXPECT_EQ(end_loss.size(), 10u) << output;
  EXPECT_EQ(end_loss["vault"], end_loss["no-fault"]);
  EXPECT_EQ(end_loss["shards"], end_loss["no-fault"]);
  EXPECT_EQ(end_loss["shadow"], end_loss["no-fault"]);
  EXPECT_EQ(end_loss["checkpoint"], end_loss["no-fault"]);
  EXPECT_NE(end_loss["checkfree"], end_loss["no-fault"]);
  expect_has(output, {"the loss to reach", "better than an exact source"});
  std::ifstream plot(svg);
  const std::string text{std::istreambuf_iterator<char>(plot), {}};
  expect_has(text, {"<svg", "no-fault", "checkfree+", "checkpoint", "</svg>"});
}

TEST(PipelineBench, TellsWhatASnapshotCostsTheStepBesideIt) {
  Cli command(bench("snapshot --pipeline --steps 20 --json"));
  EXPECT_EQ(command.end(), 0) << command.errors();
  expect_has(command.output(), {"\"bench\":\"snapshot-steps\"", "\"steps\":20", "waited_max_ms"});
}

}  // namespace
}  // namespace rhz::test
