// The example trainer whose model is cut into stages, under `rhizome run`: what it computes, and
// that it goes on, whoever is killed.
#include <gtest/gtest.h>

#include <csignal>
#include <map>

#include "tests/integration/pipeline_reference.h"
#include "tests/integration/pipeline_runs.h"

namespace rhz::test {
namespace {

class Computes : public testing::TestWithParam<PipelineRun> {};

// Bit for bit: each operation is the same, on the same operands.  The sum of two replicas is the
// same either way round; so that of more would not have to be.
TEST_P(Computes, TheLossOfOneProcessThatTrainsOnTheSameBatches) {
  Cli command(pipeline(GetParam(), ""));
  const PipelineEnds ends = ends_of(command, GetParam());
  EXPECT_EQ(ends.loss, loss_of_one_process(GetParam()));
  EXPECT_LT(ends.loss, ends.first_loss);
}

INSTANTIATE_TEST_SUITE_P(Shapes, Computes,
                         testing::Values(PipelineRun{1, 1}, PipelineRun{2, 2}, PipelineRun{3, 1},
                                         PipelineRun{4, 1, 5}, PipelineRun{4, 2}),
                         [](const auto& info) {
                           return std::to_string(info.param.stages) + "x" +
                                  std::to_string(info.param.replicas);
                         });

TEST(Pipeline, LearnsWithTheSwappedOrderToo) {
  for (const PipelineRun& run : {PipelineRun{2, 1}, PipelineRun{4, 2}}) {
    Cli command(pipeline(run, "", "--order swapped"));
    const PipelineEnds ends = ends_of(command, run);
    EXPECT_LT(ends.loss, ends.first_loss);
  }
}

TEST(Pipeline, GoesOnWithoutAReplicaAndGivesItsSuccessorTheState) {
  const PipelineRun run = long_run(2, 2);
  Cli command(pipeline(run, "--restart", kUnhurried));
  command.await("step=5 ");
  kill(command.peer(3), SIGKILL);
  command.await("world=3");
  expect_has(command.await("recovered ").raw,
             {"[slot 3]", "stage=1 source=replica", "from_slot=2"});
  const PipelineEnds ends = ends_of(command, run);
  EXPECT_LT(ends.loss, ends.first_loss);
}

// Who dies before its first micro-batch takes its strand with it, from that step and no other; and
// nothing is made again.
TEST(Pipeline, GoesOnWithoutTheMicroBatchesOfTheDeadInThatStepAlone) {
  PipelineRun run = long_run(2, 2);
  Cli command(pipeline(run, "--restart", kUnhurried + "--kill-at 6:3,20:0"));
  for (const auto& [step, strands] : {std::pair{6, 1}, std::pair{20, 2}}) {
    const Line line = command.await("] step=" + std::to_string(step) + " ");
    expect_has(line.raw,
               {"retries=0", "counted=2 ", "strands=" + std::to_string(strands) + " ", "world=3"});
    expect_has(command.await("] step=" + std::to_string(step + 1) + " ").raw, {"counted=4"});
  }
  const double loss = ends_of(command, run).loss;
  run = as_said(command, run);
  EXPECT_EQ(loss, loss_of_one_process(run));
}

// Both replicas of a stage: no strand is whole.
TEST(Pipeline, MakesAStepAgainOfWhichNoStrandIsLeft) {
  PipelineRun run = long_run(2, 2);
  Cli command(pipeline(run, "--restart --longest-pause-ms 20",
                       kUnhurried + "--kill-at 6:2,6:3 --shadow 1"));
  command.await("retry step=6 ");
  expect_has(command.await("] step=6 ").raw, {"counted=4 ", "strands=3 "});
  const double loss = ends_of(command, run).loss;
  run = as_said(command, run);
  EXPECT_EQ(loss, loss_of_one_process(run));
}

// Slot 3 is gone, and nobody comes: slot 4 has its own strand and the first micro-batch of that of
// slot 3, so its death costs both in that step.
TEST(Pipeline, LosesWithAStandInTheStrandsThatItHadAShareIn) {
  const PipelineRun run = long_run(2, 3);
  Cli command(pipeline(run, "", "--kill-at 6:3,9:4"));
  expect_has(command.await("] step=6 ").raw, {"counted=2 ", "strands=6 "});
  expect_has(command.await("] step=9 ").raw, {"counted=1 ", "strands=4 "});
  expect_has(command.await("] step=10 ").raw, {"counted=4 ", "strands=7 "});
  std::map<uint64_t, std::string> digests;
  for (int slot = 0; slot < 4; ++slot) {
    const Line line = command.await("final step=40");
    EXPECT_EQ(digests.emplace(line.number("stage"), line.text("digest")).first->second,
              line.text("digest"))
        << line.raw;
  }
  EXPECT_NE(command.end(), 0); /* two died */
}

// Every step that was disturbed is made again by the same peers, from the same bits.
TEST(Pipeline, ReplaysToTheBitsOfARunWithoutDeaths) {
  const PipelineRun run = long_run(2, 2);
  const PipelineEnds expected = ends_without_losses(run);
  Cli command(pipeline(run, "--restart", "--policy replay " + kUnhurried));
  const std::map<int, std::string> kills{{5, "1"}, {12, "2"}, {20, "0"}};
  for (const auto& [step, slot] : kills) {
    command.await("step=" + std::to_string(step) + " ");
    kill(command.peer(std::stoi(slot)), SIGKILL);
    command.await("slot " + slot + "] recovered stage=");
  }
  const PipelineEnds ends = ends_of(command, run);
  EXPECT_EQ(ends.loss, expected.loss);
  EXPECT_EQ(ends.digests, expected.digests);
}

TEST(Pipeline, AveragesALostStageFromThoseBesideIt) {
  const PipelineRun run = long_run(4, 2);
  Cli command(pipeline(run, "--restart", kUnhurried));
  command.await("step=5 ");
  const pid_t both[] = {command.peer(4), command.peer(5)};
  for (const pid_t peer : both) kill(peer, SIGKILL);
  const Line line = command.await("recovered stage=2");
  expect_has(line.raw, {"source=average", "from=1,3", "rate_factor=1.10"});
  const PipelineEnds ends = ends_of(command, run);
  EXPECT_LT(ends.loss, ends.first_loss);
}

TEST(Pipeline, CopiesALostEndOfASwappedPipeline) {
  const PipelineRun run = long_run(4, 1);
  Cli command(pipeline(run, "--restart", "--order swapped " + kUnhurried));
  const std::map<int, std::string> expected{{0, "stage=0 source=copy"}, {3, "stage=3 source=copy"}};
  command.await("step=5 ");
  for (const auto& [slot, text] : expected) {
    kill(command.peer(slot), SIGKILL);
    command.await(text);
  }
  const PipelineEnds ends = ends_of(command, run);
  EXPECT_LT(ends.loss, ends.first_loss);
}

// Without --restart: a run that is over is not started again.
TEST(Pipeline, SaysWhatCannotBeRecoveredAndWhatToDo) {
  const PipelineRun run = long_run(4, 1);
  Cli end(pipeline(run, "", kUnhurried), {}, kOneStream);
  end.await("step=5 ");
  kill(end.peer(0), SIGKILL);
  expect_has(end.await(" is lost").raw, {"stage 0", "--order swapped", "stage 1", "--replicas"});
  EXPECT_NE(end.end(), 0);
  Cli pair(pipeline(run, "", "--order swapped " + kUnhurried), {}, kOneStream);
  pair.await("step=5 ");
  const pid_t both[] = {pair.peer(1), pair.peer(2)};
  for (const pid_t peer : both) kill(peer, SIGKILL);
  expect_has(pair.await("are both lost").raw, {"stages 1 and 2", "--replicas"});
  EXPECT_NE(pair.end(), 0);
}

TEST(Pipeline, RefusesOptionsThatDoNotFit) {
  const std::map<std::string, Words> cases{
      {"--stages 3 --order swapped", {"--order", "3 stages", "take 1, 2, 4 or more"}},
      {"--stages 8 --layers 2", {"--layers", "at most 8"}},
      {"--width 50", {"--width", "multiple of 4"}},
      {"--order backwards", {"--order", "--help"}},
      {"--stages 0", {"--stages", "from 1 to 8"}},
      {"--nonsense 1", {"--nonsense", "is no option"}}};
  for (const auto& [options, expected] : cases) {
    Cli command(words("run -n 1 --") + Words{RHZ_TEST_PIPELINE_LM} + words(options), {},
                kOneStream);
    expect_has(command.await("pipeline_lm: ").raw, expected);
    EXPECT_EQ(command.end(), 2);
  }
  Cli world(words("run -n 3 --") + Words{RHZ_TEST_PIPELINE_LM} + words("--stages 4"), {},
            kOneStream);
  expect_has(world.await("cannot join").raw, {"--stages 4", "--replicas 1", "--world 4"});
  EXPECT_NE(world.end(), 0);
}

TEST(Pipeline, SendsAwayAPeerWithOtherOptions) {
  Cli command(words("run -n 2 -- sh -c") +
                  Words{"exec " RHZ_TEST_PIPELINE_LM " --stages 2 --batch $((1 + RHZ_SLOT))"},
              {}, kOneStream);
  expect_has(command.await("other options").raw, {"[slot 1]", "slot 0"});
  command.signal(SIGTERM);
  EXPECT_NE(command.end(), 0);
}

}  // namespace
}  // namespace rhz::test
