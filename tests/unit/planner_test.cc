#include "recovery/planner/planner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "runtime/base/prng.h"

namespace rhz::recovery {
namespace {

constexpr uint64_t kGb = 1'000'000'000;

// Three stages of one member each, at revision 42, of which stage 1 is lost.
struct PlannerTest : testing::Test {
  PlannerTest() {
    run.revision = 42;
    run.approximate = Approximate::never;
    for (int i = 0; i < 3; ++i) {
      StageFacts stage;
      stage.live = 1;
      stage.state_bytes = kGb;
      stage.parameter_bytes = kGb / 4;
      run.stages.push_back(stage);
    }
    lost().live = 0;
    lost().lost = 1;
  }
  StageFacts& lost() { return run.stages[1]; }
  void snapshots(uint64_t revision) {
    for (StageFacts& stage : run.stages) stage.vault = {revision};
  }
  void checkpoints(uint64_t revision) {
    for (StageFacts& stage : run.stages) stage.disk.push_back(revision);
  }
  Plan plan() {
    auto made = make_plan(run);
    EXPECT_TRUE(made) << made.status().text();
    return made ? made.value() : Plan{0, true, {}, std::vector<StagePlan>(run.stages.size())};
  }
  std::string reason(const Plan& plan, Source source) {
    return plan.stages[1].verdicts[static_cast<size_t>(source)].reason;
  }
  RunFacts run;
};

TEST_F(PlannerTest, TakesALiveReplicaAndLeavesTheOthersAlone) {
  lost().live = 1;
  const Plan made = plan();
  EXPECT_EQ(made.revision, 42u);
  EXPECT_TRUE(made.stages[0].keeps);
  EXPECT_TRUE(made.stages[2].keeps);
  EXPECT_EQ(made.stages[1].chosen.source, Source::replica);
  EXPECT_EQ(made.cost.bytes, kGb);
  EXPECT_DOUBLE_EQ(made.cost.seconds, 8);  // 1 GB at 125 MB/s
  EXPECT_EQ(made.cost.steps_lost, 0u);
}

TEST_F(PlannerTest, TakesMemoryThatOutlivedItsProcessBecauseNothingIsCopied) {
  lost().live = 1;
  lost().shadow = 42;
  lost().attach = {42, false};
  const Plan made = plan();
  EXPECT_EQ(made.stages[1].chosen.source, Source::attach);
  EXPECT_EQ(made.cost.bytes, 0u);
  EXPECT_EQ(reason(made, Source::replica), "it takes longer");
  EXPECT_EQ(made.stages[1].next_source(), "a live replica");
}

TEST_F(PlannerTest, RefusesToAttachToAnUpdateThatWasCutShort) {
  lost().shadow = 42;
  lost().attach = {42, true};
  const Plan made = plan();
  EXPECT_EQ(made.stages[1].chosen.source, Source::shadow);
  EXPECT_EQ(reason(made, Source::attach), "it died inside an update of its state");
  EXPECT_EQ(made.stages[1].next_source(), "none at this revision: plan again");
}

TEST_F(PlannerTest, TakesEverybodyBackToTheSnapshotsRevision) {
  snapshots(40);
  lost().attach = {42, true};
  const Plan made = plan();
  EXPECT_EQ(made.revision, 40u);
  EXPECT_EQ(made.cost.steps_lost, 2u);
  EXPECT_EQ(made.cost.bytes, 3 * kGb);
  EXPECT_DOUBLE_EQ(made.cost.seconds, 0.2);
  for (const StagePlan& stage : made.stages) {
    EXPECT_FALSE(stage.keeps);
    EXPECT_EQ(stage.chosen.source, Source::vault);
    EXPECT_EQ(stage.chosen.revision, 40u);
  }
}

TEST_F(PlannerTest, WeighsStepsLostAgainstTheTimeOfARestore) {
  snapshots(40);
  lost().shadow = 42;  // 8 s over the link, against 2 steps and 0.2 s
  EXPECT_EQ(plan().revision, 40u);
  run.step_seconds = 10;
  EXPECT_EQ(plan().revision, 42u);
  EXPECT_EQ(plan().stages[1].chosen.source, Source::shadow);
  EXPECT_EQ(reason(plan(), Source::vault), "it is at revision 40, the plan at 42");
}

TEST_F(PlannerTest, NeverMixesRevisions) {
  run.stages[0].vault = {40};
  lost().vault = {40};
  run.stages[2].vault = {39};
  const Status status = make_plan(run).status();
  EXPECT_EQ(status.code(), Code::kStateLost);
  EXPECT_EQ(
      status.text(),
      "no revision can be had by all stages; stage 0 has 42 40; stage 1 has 40; stage 2 has 42 39");
  checkpoints(30);
  EXPECT_EQ(plan().revision, 30u);
  lost().shadow = 42;
  run.step_seconds = 100;
  EXPECT_EQ(plan().revision, 42u);
}

TEST_F(PlannerTest, FindsTheRevisionThatTwoLostStagesShare) {
  run.stages[0].live = 0;
  run.stages[0].lost = 1;
  run.stages[0].shadow = 42;
  snapshots(38);
  const Plan made = plan();
  EXPECT_EQ(made.revision, 38u);  // stage 1 has no shadow
  EXPECT_EQ(made.stages[0].chosen.source, Source::vault);
}

TEST_F(PlannerTest, CountsTheShardsOfEveryStripe) {
  lost().shards = {42, 4, {6, 4, 5}};
  EXPECT_EQ(plan().stages[1].chosen.source, Source::shards);
  lost().shards->shards_left[2] = 3;
  lost().shadow = 42;
  const Plan made = plan();
  EXPECT_EQ(made.stages[1].chosen.source, Source::shadow);
  EXPECT_EQ(reason(made, Source::shards), "stripe 2 has 3 shards left of the 4 it takes");
}

TEST_F(PlannerTest, GoesBackToShardsOfTheRevisionBeforeWhereAnotherStageHasNoNewerOnes) {
  run.approximate = Approximate::never;
  for (StageFacts& stage : run.stages) {
    stage.live = 0;
    stage.lost = 1;
    stage.shards = {42, 4, {6}};
    stage.shards_before = {38, 4, {6}};
  }
  lost().shards = {38, 4, {6}};
  lost().shards_before = {};
  const Plan made = plan();
  EXPECT_EQ(made.revision, 38u);
  EXPECT_EQ(made.stages[0].chosen.source, Source::shards);
  lost().shards->shards_left[0] = 3;
  EXPECT_FALSE(make_plan(run));
}

TEST_F(PlannerTest, TakesTheSlowerOfLinkAndCodingForShards) {
  lost().shards = {42, 4, {6}};
  run.rates.link = 1e12;
  run.rates.coding = 1e9;
  EXPECT_DOUBLE_EQ(plan().cost.seconds, 1);
}

TEST_F(PlannerTest, SaysWhyNothingGivesAStageBack) {
  lost().attach = {42, true};
  lost().shadow = 43;
  const Status status = make_plan(run).status();
  EXPECT_EQ(status.code(), Code::kStateLost);
  EXPECT_EQ(status.text(),
            "stage 1: nothing gives its state back; replica: no replica of the stage lives; "
            "attach: it died inside an "
            "update of its state; vault: no local vault has a snapshot; shards: no generation is "
            "sealed; shadow: it is "
            "at revision 43, the run at 42; average: the run takes nothing approximate; disk: no "
            "checkpoint is complete");
}

TEST_F(PlannerTest, AveragesRatherThanGoingBackToTheDisk) {
  run.approximate = Approximate::before_disk;
  checkpoints(41);
  Plan made = plan();
  EXPECT_EQ(made.stages[1].chosen.source, Source::average);
  EXPECT_FALSE(made.exact);
  EXPECT_EQ(made.revision, 42u);
  EXPECT_EQ(made.cost.bytes, kGb / 2);  // the parameters of two neighbours
  run.approximate = Approximate::last_resort;
  made = plan();
  EXPECT_EQ(made.stages[1].chosen.source, Source::disk);
  EXPECT_EQ(reason(made, Source::average), "it is at revision 42, the plan at 41");
  run.approximate = Approximate::never;
  made = plan();
  EXPECT_EQ(made.stages[1].chosen.source, Source::disk);
  EXPECT_EQ(reason(made, Source::average), "the run takes nothing approximate");
}

TEST_F(PlannerTest, GoesBackToTheDiskBeforeItAveragesUnlessItIsAskedOtherwise) {
  run.approximate = RunFacts().approximate;
  checkpoints(2);
  EXPECT_EQ(plan().stages[1].chosen.source, Source::disk);
  for (StageFacts& stage : run.stages) stage.disk.clear();
  EXPECT_EQ(plan().stages[1].chosen.source, Source::average) << "nothing exact is left";
}

TEST_F(PlannerTest, PrefersWhatIsExactToAnAverage) {
  run.approximate = Approximate::before_disk;
  snapshots(2);  // 40 steps
  const Plan made = plan();
  EXPECT_EQ(made.stages[1].chosen.source, Source::vault);
  EXPECT_TRUE(made.exact);
}

TEST_F(PlannerTest, AveragesOnlyBetweenNeighboursThatAreThere) {
  run.approximate = Approximate::last_resort;
  run.stages[2].live = 0;
  run.stages[2].lost = 1;
  const Status both = make_plan(run).status();
  EXPECT_EQ(both.code(), Code::kStateLost);
  EXPECT_NE(both.text().find("average: stage 1 and its neighbour stage 2 are both lost"),
            std::string::npos)
      << both.text();
  run.stages[2].attach = {42, false};  // it comes back by itself, and can be averaged then
  const Plan made = plan();
  EXPECT_EQ(made.stages[1].chosen.source, Source::average);
  EXPECT_EQ(made.stages[2].chosen.source, Source::attach);
}

TEST_F(PlannerTest, CopiesTheStandInOfAnEndInTheSwappedOrderOnly) {
  run.approximate = Approximate::last_resort;
  lost().live = 1;
  lost().lost = 0;
  run.stages[0].live = 0;
  run.stages[0].lost = 1;
  EXPECT_NE(make_plan(run).status().text().find("average: stage 0 is at the end of the pipeline"),
            std::string::npos);
  run.schedule = Schedule::swapped;
  EXPECT_EQ(plan().stages[0].chosen.source, Source::average);
  EXPECT_EQ(plan().cost.bytes, kGb / 4);
  run.stages[0].like_neighbours = false;
  EXPECT_NE(
      make_plan(run).status().text().find("average: its neighbours' parameters have other shapes"),
      std::string::npos);
}

TEST_F(PlannerTest, CountsEveryMemberOfAStage) {
  lost().live = 1;
  lost().lost = 3;
  EXPECT_EQ(plan().cost.bytes, 3 * kGb);
  EXPECT_DOUBLE_EQ(plan().cost.seconds, 8);
  lost().live = 0;
  snapshots(41);
  EXPECT_EQ(plan().cost.bytes, 5 * kGb);  // two others go back as well
}

TEST_F(PlannerTest, ExplainsItselfInALine) {
  snapshots(40);
  lost().shards = {40, 2, {3, 1}};
  const Plan made = plan();
  EXPECT_EQ(made.line(),
            "recovery revision=40 exact=yes bytes=3000000000 seconds=0.2 steps_lost=2");
  EXPECT_EQ(made.stages[1].line(),
            "stage=1 source=vault revision=40 exact=yes bytes=1000000000 seconds=0.2 steps_lost=2 "
            "why_not=\"replica: no "
            "replica of the stage lives; attach: no vault holds its memory; shards: stripe 1 has 1 "
            "shards left of the 2 "
            "it takes; shadow: nobody shadows it; average: the run takes nothing approximate; "
            "disk: no checkpoint is "
            "complete\"");
  lost().live = 1;
  run.step_seconds = 100;
  EXPECT_EQ(plan().stages[0].line(), "stage=0 source=none");
}

TEST_F(PlannerTest, RefusesARunWithoutStages) {
  run.stages.clear();
  EXPECT_EQ(make_plan(run).status().code(), Code::kArgument);
}

RunFacts random_run(Prng& prng) {
  RunFacts run;
  run.revision = 10;
  run.step_seconds = prng.unit() * 10;
  run.schedule = prng.chance(0.5) ? Schedule::swapped : Schedule::plain;
  run.approximate = static_cast<Approximate>(prng.below(3));
  for (uint64_t i = 0, stages = 1 + prng.below(5); i < stages; ++i) {
    StageFacts stage;
    stage.live = static_cast<uint32_t>(prng.below(2));
    stage.lost = stage.live == 0 ? 1 : static_cast<uint32_t>(prng.below(2));
    stage.state_bytes = 1 + prng.below(kGb);
    stage.parameter_bytes = stage.state_bytes / 3;
    if (prng.chance(0.3)) stage.attach = {9 + prng.below(3), prng.chance(0.5)};
    if (prng.chance(0.7)) stage.vault = {8 + prng.below(2)};
    if (prng.chance(0.7)) stage.shards = {8, 2, {static_cast<uint32_t>(1 + prng.below(3))}};
    if (prng.chance(0.3)) stage.shadow = 10;
    if (prng.chance(0.7)) stage.disk = {3, 5};
    run.stages.push_back(stage);
  }
  return run;
}

TEST(Planner, KeepsItsPromisesWhateverIsLost) {
  Prng prng(11);
  int planned = 0;
  for (int trial = 0; trial < 20000; ++trial) {
    const RunFacts run = random_run(prng);
    const auto made = make_plan(run);
    if (!made) {
      ASSERT_EQ(made.status().code(), Code::kStateLost);
      continue;
    }
    ++planned;
    const Plan& plan = made.value();
    ASSERT_LE(plan.revision, run.revision);
    ASSERT_EQ(plan.cost.steps_lost, run.revision - plan.revision);
    bool exact = true;
    for (size_t i = 0; i < plan.stages.size(); ++i) {
      const StagePlan& stage = plan.stages[i];
      ASSERT_EQ(stage.keeps,
                run.stages[i].lost == 0 && run.stages[i].live > 0 && plan.revision == run.revision);
      if (stage.keeps) continue;
      ASSERT_EQ(stage.chosen.revision, plan.revision);
      ASSERT_EQ(std::ranges::count(stage.verdicts, true, &Verdict::chosen), 1);
      for (const Verdict& verdict : stage.verdicts)
        ASSERT_EQ(verdict.reason.empty(), verdict.chosen);
      exact = exact && stage.chosen.exact;
      if (stage.chosen.source == Source::attach) {
        ASSERT_FALSE(run.stages[i].attach->updating);
      }
      if (stage.chosen.source == Source::average) {
        ASSERT_EQ(plan.revision, run.revision);
      }
    }
    ASSERT_EQ(plan.exact, exact);
    if (run.approximate == Approximate::never) {
      ASSERT_TRUE(exact);
    }
  }
  EXPECT_GT(planned, 5000);
}

}  // namespace
}  // namespace rhz::recovery
