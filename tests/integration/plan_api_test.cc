// rhizome_plan.h: what would give a lost stage its state back, asked without acting.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/integration/checkpoints.h"

namespace rhz::test {
namespace {

using PlanApi = CheckpointTest;
using Lines = std::vector<std::string>;

// Three stages of a member each at revision 42, as the caller knows them; stage 1 is lost.
struct Known {
  rhz_stage_facts facts[3] = {alive(), alive(), alive()};
  rhz_plan_params params = sized<rhz_plan_params>();

  static rhz_stage_facts alive() {
    auto facts = sized<rhz_stage_facts>();
    facts.live = 1;
    facts.state_bytes = 1'000'000'000;
    facts.parameter_bytes = 250'000'000;
    return facts;
  }
  Known() {
    facts[1].live = 0;
    facts[1].lost = 1;
    params.stages = 3;
    params.facts = facts;
    params.revision = 42;
  }
  Known(const Known&) = delete;
  rhz_status make(rhz_plan** plan) { return rhz_plan_make(nullptr, &params, plan); }
  // A plan that there is: stage 1 of it.
  rhz_stage_plan stage(Lines* lines = nullptr) {
    rhz_plan* plan = nullptr;
    EXPECT_EQ(make(&plan), RHZ_OK) << rhz_last_error();
    auto stage = sized<rhz_stage_plan>();
    EXPECT_EQ(rhz_plan_stage_get(plan, 1, &stage), RHZ_OK) << rhz_last_error();
    const char* line = nullptr;
    for (uint32_t i = 0; lines && (line = rhz_plan_line(plan, i)); ++i) lines->push_back(line);
    rhz_plan_close(plan);
    return stage;
  }
  void refuse(rhz_status status, const std::vector<std::string>& words) {
    rhz_plan* plan = nullptr;
    expect_refused(make(&plan), status, words);
    EXPECT_EQ(plan, nullptr);
  }
};

TEST(PlanOfFacts, TakesWhatIsExactAndSoonest) {
  Known k;
  k.facts[1].shadow_revision = 42;
  Lines lines;
  const auto stage = k.stage(&lines);
  EXPECT_EQ(stage.source, static_cast<uint32_t>(RHZ_SOURCE_SHADOW));
  EXPECT_EQ(stage.exact, 1u);
  EXPECT_EQ(stage.bytes, 1'000'000'000u);
  EXPECT_DOUBLE_EQ(stage.seconds, 8) << "at 125 MB/s";
  EXPECT_EQ(stage.next_source, static_cast<uint32_t>(RHZ_SOURCE_AVERAGE));
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0], "recovery revision=42 exact=yes bytes=1000000000 seconds=8 steps_lost=0");
  EXPECT_EQ(lines[1], "stage=0 source=none");
  EXPECT_NE(lines[2].find("average: it is approximate"), std::string::npos) << lines[2];
  k.params.link_rate = 1e9;
  EXPECT_DOUBLE_EQ(k.stage().seconds, 1);
  k.facts[1].kept = RHZ_KEPT_WHOLE;
  k.facts[1].kept_revision = 42;
  EXPECT_EQ(k.stage().source, static_cast<uint32_t>(RHZ_SOURCE_ATTACH));
  k.facts[1].kept = RHZ_KEPT_IN_UPDATE;
  EXPECT_EQ(k.stage().source, static_cast<uint32_t>(RHZ_SOURCE_SHADOW));
}

TEST(PlanOfFacts, GoesBackToTheDiskBeforeAnAverageUnlessItIsAskedOtherwise) {
  Known k;
  const uint64_t checkpoints[] = {40, 20};
  for (auto& facts : k.facts) {
    facts.checkpoints = checkpoints;
    facts.checkpoint_count = 2;
  }
  EXPECT_EQ(k.stage().source, static_cast<uint32_t>(RHZ_SOURCE_DISK));
  k.params.approximate = RHZ_APPROXIMATE_BEFORE_DISK;
  EXPECT_EQ(k.stage().source, static_cast<uint32_t>(RHZ_SOURCE_AVERAGE));
  EXPECT_EQ(k.stage().exact, 0u);
  k.params.approximate = RHZ_APPROXIMATE_NEVER;
  EXPECT_EQ(k.stage().source, static_cast<uint32_t>(RHZ_SOURCE_DISK));
}

TEST(PlanOfFacts, SaysWhyNothingServes) {
  Known k;
  const uint32_t left[] = {4, 3};
  k.facts[1].data_shards = 4;
  k.facts[1].shards_revision = 42;
  k.facts[1].shards_left = left;
  k.facts[1].stripe_count = 2;
  k.facts[1].unlike_neighbours = 1;
  k.refuse(RHZ_ERR_STATE_LOST,
           {"stage 1: nothing gives its state back", "stripe 1 has 3 shards left of the 4",
            "its neighbours' parameters have other shapes", "nobody shadows it",
            "no checkpoint is complete"});
}

void expect_bad(void (*spoil)(Known&), const std::string& word) {
  Known k;
  spoil(k);
  k.refuse(RHZ_ERR_ARGUMENT, {word});
}

TEST(PlanOfFacts, SaysWhichParameterMakesNoSense) {
  expect_bad([](Known& k) { k.params.stages = 0; }, "stages is 0");
  expect_bad([](Known& k) { k.params.replicas = 1u << 16; }, "over 65 536");
  expect_bad([](Known& k) { k.params.schedule = 2; }, "schedule 2");
  expect_bad([](Known& k) { k.params.approximate = 4; }, "approximate 4");
  expect_bad([](Known& k) { k.params.disk_rate = -1; }, "disk_rate is negative");
  expect_bad([](Known& k) { k.params.step_seconds = NAN; }, "step_seconds is negative or not");
  expect_bad([](Known& k) { k.facts[0].kept = 3; }, "kept or reserved has no such value");
  expect_bad([](Known& k) { k.facts[2].snapshot_count = 1; }, "snapshots is NULL");
  expect_bad([](Known& k) { k.facts[2].checkpoint_count = 1; }, "checkpoints is NULL");
  expect_bad([](Known& k) { k.facts[2].data_shards = 1; }, "shards_left has no stripe");
  Known k;
  k.facts[1].struct_size += 8;
  k.refuse(RHZ_ERR_ABI, {"facts", "same struct_size"});
  rhz_plan* plan = nullptr;
  expect_refused(rhz_plan_make(nullptr, nullptr, &plan), RHZ_ERR_ARGUMENT, {"is NULL"});
  expect_refused(rhz_plan_make(nullptr, &k.params, nullptr), RHZ_ERR_ARGUMENT,
                 {"out_plan is NULL"});
  auto info = sized<rhz_plan_info>();
  expect_refused(rhz_plan_info_get(nullptr, &info), RHZ_ERR_ARGUMENT, {"the plan is NULL"});
  EXPECT_EQ(rhz_plan_line(nullptr, 0), nullptr);
  rhz_plan_close(nullptr);
}

// Four members, two stages: what each process sees by itself.
struct Seen {
  LocalRun run{4};
  std::vector<Matrix> tensors;
  std::vector<rhz_comm*> comms;
  rhz_plan_params params = sized<rhz_plan_params>();

  Seen() {
    for (uint32_t slot = 0; slot < 4; ++slot) {
      tensors.emplace_back("w", 100, 100);
      comms.push_back(run.create(slot + 1));
    }
    for (uint32_t slot = 0; slot < 4; ++slot) {
      const auto tensor = tensors[slot].tensor();
      EXPECT_EQ(rhz_state_register(comms[slot], &tensor), RHZ_OK);
      (void)!rhz_comm_join(comms[slot], 1);
    }
    for (uint32_t slot = 0; slot < 4; ++slot) {
      EXPECT_EQ(rhz_comm_join(comms[slot], kPatienceMs), RHZ_OK) << rhz_last_error();
      CheckpointTest::commit(comms[slot], tensors[slot], 7);
    }
    params.stages = params.replicas = 2;
  }
};

TEST_F(PlanApi, SeesMembersAndReplicasByTheView) {
  Seen s;
  rhz_plan* plan = nullptr;
  ASSERT_EQ(rhz_plan_make(s.comms[0], &s.params, &plan), RHZ_OK) << rhz_last_error();
  auto info = sized<rhz_plan_info>();
  ASSERT_EQ(rhz_plan_info_get(plan, &info), RHZ_OK);
  EXPECT_EQ(info.revision, 7u);
  EXPECT_EQ(info.stages, 2u);
  EXPECT_EQ(info.bytes, 0u) << "nobody is lost";
  EXPECT_STREQ(rhz_plan_line(plan, 2), "stage=1 source=none");
  EXPECT_EQ(rhz_plan_line(plan, 3), nullptr);
  auto stage = sized<rhz_stage_plan>();
  expect_refused(rhz_plan_stage_get(plan, 2, &stage), RHZ_ERR_ARGUMENT, {"stage 2 of 2"});
  rhz_plan_close(plan);
  const uint32_t third[] = {3};
  s.params.without = third;
  s.params.without_count = 1;
  ASSERT_EQ(rhz_plan_make(s.comms[0], &s.params, &plan), RHZ_OK) << rhz_last_error();
  ASSERT_EQ(rhz_plan_stage_get(plan, 1, &stage), RHZ_OK);
  EXPECT_EQ(stage.source, static_cast<uint32_t>(RHZ_SOURCE_REPLICA));
  EXPECT_EQ(stage.bytes, 40'000u) << "its registered state";
  rhz_plan_close(plan);
}

TEST_F(PlanApi, SeesTheFolderOfCheckpointsAndItsShadow) {
  Seen s;
  const uint32_t stage1[] = {2, 3};
  s.params.without = stage1;
  s.params.without_count = 2;
  s.params.approximate = RHZ_APPROXIMATE_NEVER;
  s.params.folder = root.c_str();
  rhz_plan* plan = nullptr;
  expect_refused(rhz_plan_make(s.comms[0], &s.params, &plan), RHZ_ERR_STATE_LOST,
                 {"stage 1: nothing gives its state back", "no vault holds its memory"});
  for (uint32_t slot = 0; slot < 4; ++slot) ASSERT_EQ(begin(s.comms[slot], slot, 4), RHZ_OK);
  for (rhz_comm* comm : s.comms)
    ASSERT_EQ(rhz_checkpoint_wait(comm, kPatienceMs, nullptr), RHZ_OK) << rhz_last_error();
  for (uint32_t slot = 0; slot < 4; ++slot) commit(s.comms[slot], s.tensors[slot], 8);
  ASSERT_EQ(rhz_plan_make(s.comms[0], &s.params, &plan), RHZ_OK) << rhz_last_error();
  auto info = sized<rhz_plan_info>();
  ASSERT_EQ(rhz_plan_info_get(plan, &info), RHZ_OK);
  EXPECT_EQ(info.revision, 7u);
  EXPECT_EQ(info.steps_lost, 1u);
  auto stage = sized<rhz_stage_plan>();
  ASSERT_EQ(rhz_plan_stage_get(plan, 0, &stage), RHZ_OK);
  EXPECT_EQ(stage.source, static_cast<uint32_t>(RHZ_SOURCE_DISK)) << "it goes back as well";
  rhz_plan_close(plan);

  uint64_t word = 0;
  auto tensor = sized<rhz_tensor>();
  tensor.name = "word";
  tensor.data = &word;
  tensor.count_elems = 1;
  tensor.dtype = RHZ_DTYPE_U64;
  auto shadow_params = sized<rhz_shadow_params>();
  shadow_params.rule = RHZ_RULE_CALLBACK;
  shadow_params.revision = 8;
  shadow_params.update = [](uint64_t, const void*, uint64_t, void*) { return 0; };
  shadow_params.tensors = &tensor;
  shadow_params.tensor_count = 1;
  rhz_shadow* shadow = nullptr;
  ASSERT_EQ(rhz_shadow_create(&shadow_params, &shadow), RHZ_OK) << rhz_last_error();
  s.params.shadow = shadow;
  s.params.shadow_stage = 1;
  ASSERT_EQ(rhz_plan_make(s.comms[0], &s.params, &plan), RHZ_OK) << rhz_last_error();
  ASSERT_EQ(rhz_plan_stage_get(plan, 1, &stage), RHZ_OK);
  EXPECT_EQ(stage.source, static_cast<uint32_t>(RHZ_SOURCE_SHADOW));
  rhz_plan_close(plan);
  s.params.shadow_stage = 2;
  expect_refused(rhz_plan_make(s.comms[0], &s.params, &plan), RHZ_ERR_ARGUMENT,
                 {"shadow_stage is no stage of 2"});
  rhz_shadow_close(shadow);
}

TEST_F(PlanApi, NeedsAMember) {
  LocalRun run(1);
  auto params = sized<rhz_plan_params>();
  params.stages = 1;
  rhz_plan* plan = nullptr;
  expect_refused(rhz_plan_make(run.create(1), &params, &plan), RHZ_ERR_STATE, {"rhz_comm_join"});
}

}  // namespace
}  // namespace rhz::test
