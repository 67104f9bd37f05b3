// What one process sees of a run, as facts.
#include <gtest/gtest.h>

#include "recovery/planner/gather.h"
#include "recovery/planner/planner.h"

namespace rhz::recovery {
namespace {

Holding kept(uint32_t slot, uint64_t revision, std::vector<uint64_t> snapshots,
             StateHeader::Verdict verdict = StateHeader::Verdict::kWhole) {
  Holding holding;
  holding.slot = Slot(slot);
  holding.kept = true;
  holding.kept_bytes = 1000 + slot;
  holding.revision = revision;
  holding.verdict = verdict;
  for (const uint64_t each : snapshots) holding.snapshots.push_back({each, 0, 0, 0, 1});
  return holding;
}

// Two stages of two replicas on one host.
struct Gather : testing::Test {
  Gather() {
    sight.replicas = 2;
    sight.here = {Slot(0), Slot(1), Slot(2)};
    sight.holdings = {kept(0, 42, {40, 30}), kept(1, 42, {40}), kept(2, 42, {40, 30}),
                      kept(3, 42, {30, 20})};
    sight.state_bytes = 7;
  }
  Sight sight;
};

TEST_F(Gather, CountsWhoIsHereAndWhoIsNot) {
  EXPECT_EQ(gather(sight, 0).live, 2u);
  EXPECT_EQ(gather(sight, 0).lost, 0u);
  EXPECT_EQ(gather(sight, 1).live, 1u);
  EXPECT_EQ(gather(sight, 1).lost, 1u);
  EXPECT_EQ(gather(sight, 1).state_bytes, 1003u);
  EXPECT_EQ(gather(sight, 2).lost, 2u);
  EXPECT_EQ(gather(sight, 2).state_bytes, 7u) << "the vault does not say";
}

TEST_F(Gather, AttachesWhereEachOfThoseThatAreLostCan) {
  ASSERT_TRUE(gather(sight, 1).attach);
  EXPECT_EQ(gather(sight, 1).attach->revision, 42u);
  EXPECT_FALSE(gather(sight, 1).attach->updating);
  EXPECT_FALSE(gather(sight, 0).attach) << "nobody is lost";
  sight.holdings[3].verdict = StateHeader::Verdict::kOpen;
  EXPECT_TRUE(gather(sight, 1).attach->updating);
  sight.holdings[3].verdict = StateHeader::Verdict::kUnmarked;
  EXPECT_FALSE(gather(sight, 1).attach);
  sight.holdings[3] = kept(3, 41, {});
  sight.here.erase(Slot(2));
  EXPECT_FALSE(gather(sight, 1).attach) << "at two revisions";
  sight.holdings.pop_back();
  EXPECT_FALSE(gather(sight, 1).attach) << "of one only";
}

TEST_F(Gather, TakesSnapshotsThatAllMembersOfAStageHave) {
  EXPECT_EQ(gather(sight, 0).vault, std::vector<uint64_t>{40});
  EXPECT_EQ(gather(sight, 1).vault, std::vector<uint64_t>{30});
  EXPECT_TRUE(gather(sight, 2).vault.empty());
}

// Two data shards and one for parity, of one stripe, held by vaults 1, 2 and 3.
GenerationRecord sealed(uint32_t first_slot, uint32_t slots, uint64_t revision) {
  GenerationRecord record;
  record.revision = revision;
  record.state_bytes = 500;
  record.shard_bytes = 256;
  record.data_shards = 2;
  record.parity_shards = 1;
  record.slots = {first_slot, slots, 1};
  for (const uint64_t vault : {1, 2, 3})
    record.holders.push_back({PeerId{0, vault}, "h" + std::to_string(vault), ""});
  record.held_by = {0, 1, 2};
  record.shards.resize(3);
  return record;
}

TEST_F(Gather, SeesShardsOfAStageInTheVaultsOfAllHosts) {
  sight.generations = {sealed(0, 2, 40), sealed(2, 1, 41)};
  sight.vaults = {PeerId{0, 1}, PeerId{0, 3}};
  ASSERT_TRUE(gather(sight, 0).shards);
  EXPECT_EQ(gather(sight, 0).shards->revision, 40u);
  EXPECT_EQ(gather(sight, 0).shards->data_shards, 2u);
  EXPECT_EQ(gather(sight, 0).shards->shards_left, std::vector<uint32_t>{2});
  EXPECT_FALSE(gather(sight, 1).shards) << "not of all of its slots";
  sight.vaults.pop_back();
  EXPECT_EQ(gather(sight, 0).shards->shards_left, std::vector<uint32_t>{1});
  EXPECT_FALSE(gather(sight, 0).shards_before);
  sight.generations = {sealed(0, 2, 38), sealed(0, 2, 40)};
  EXPECT_EQ(gather(sight, 0).shards->revision, 40u);
  EXPECT_EQ(gather(sight, 0).shards_before->revision, 38u);
}

TEST_F(Gather, TakesTheSizeOfAStateFromItsShardsWhereNobodyElseKnowsIt) {
  sight.generations = {sealed(0, 8, 40)};
  EXPECT_EQ(gather(sight, 1).state_bytes, 1003u);
  sight.state_bytes = 0;
  EXPECT_EQ(gather(sight, 2).state_bytes, 500u);
}

TEST_F(Gather, LetsWhatIsKnownOtherwiseStand) {
  StageFacts known;
  known.lost = 2;
  known.vault = {41};
  known.state_bytes = 5;
  sight.disk = {10};
  sight.generations = {sealed(2, 2, 39)};
  complete(known, gather(sight, 1));
  EXPECT_EQ(known.shards->revision, 39u);
  EXPECT_EQ(known.live, 0u);
  EXPECT_EQ(known.lost, 2u);
  EXPECT_EQ(known.vault, std::vector<uint64_t>{41});
  EXPECT_EQ(known.state_bytes, 5u);
  EXPECT_EQ(known.parameter_bytes, 5u);
  EXPECT_EQ(known.disk, std::vector<uint64_t>{10});
  EXPECT_TRUE(known.attach);
}

TEST_F(Gather, GivesAPlanThatGoesBackToACommonSnapshot) {
  sight.holdings[1] = kept(1, 42, {40, 30});
  sight.holdings[3] = kept(3, 42, {30, 20}, StateHeader::Verdict::kOpen);
  sight.here = {Slot(0), Slot(1)};
  RunFacts run;
  run.revision = 42;
  for (uint32_t stage : {0u, 1u}) run.stages.push_back(gather(sight, stage));
  const auto plan = make_plan(run);
  ASSERT_TRUE(plan) << plan.status().text();
  EXPECT_EQ(plan.value().revision, 30u);
  for (const StagePlan& stage : plan.value().stages)
    EXPECT_EQ(stage.chosen.source, Source::vault) << stage.line();
}

}  // namespace
}  // namespace rhz::recovery
