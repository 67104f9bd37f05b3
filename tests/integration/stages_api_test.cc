// rhizome_stages.h: who stands in for a lost stage, and what its parameters become.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/integration/local_run.h"

namespace rhz::test {
namespace {

rhz_tensor named(const char* name, std::vector<float>& values) {
  auto tensor = sized<rhz_tensor>();
  tensor.name = name;
  tensor.data = values.data();
  tensor.count_elems = values.size();
  tensor.dtype = RHZ_DTYPE_F32;
  return tensor;
}

struct Neighbours {
  std::vector<float> before{1, 2, 3, 4}, after{3, 6, 9, -4}, lost = std::vector<float>(4, 99);
  rhz_tensor tensors[3] = {named("before", before), named("after", after), named("lost", lost)};
  rhz_average_params params = sized<rhz_average_params>();

  Neighbours() {
    params.before = &tensors[0];
    params.after = &tensors[1];
    params.lost = &tensors[2];
    params.tensor_count = 1;
    params.norm_before = 3 - 1e-4;
    params.norm_after = 1 - 1e-4;
    params.clip_norm = 2 - 1e-4;
  }
  rhz_average_info average() {
    auto info = sized<rhz_average_info>();
    EXPECT_EQ(rhz_average_stage(&params, &info), RHZ_OK) << rhz_last_error();
    EXPECT_EQ(info.learning_rate_factor, 1.1);
    return info;
  }
  void expect_refusal(rhz_status status, const std::vector<std::string>& words) {
    expect_refused(rhz_average_stage(&params, nullptr), status, words);
    EXPECT_EQ(lost, std::vector<float>(4, 99));
  }
  Neighbours(const Neighbours&) = delete;
};

TEST(StagesApi, AveragesByThreeWeightings) {
  Neighbours n;
  n.average();
  EXPECT_EQ(n.lost, (std::vector<float>{1.5, 3, 4.5, 2})) << "3 to 1";
  n.params.weighting = RHZ_WEIGHTING_CLIPPED_NORM;
  const auto info = n.average();
  EXPECT_DOUBLE_EQ(info.weight_before, 2);
  EXPECT_DOUBLE_EQ(info.weight_after, 1);
  EXPECT_EQ(n.lost[3], static_cast<float>((2 * 4.0 + 1 * -4.0) / 3)) << "2 to 1";
  n.params.weighting = RHZ_WEIGHTING_MEAN;
  n.params.norm_before = NAN;
  n.average();
  EXPECT_EQ(n.lost, (std::vector<float>{2, 4, 6, 0}));
}

TEST(StagesApi, WritesOverANeighboursCopyWhereThatIsTheLostStagesMemory) {
  Neighbours n;
  n.params.weighting = RHZ_WEIGHTING_MEAN;
  n.params.lost = n.params.before;
  n.average();
  EXPECT_EQ(n.before, (std::vector<float>{2, 4, 6, 0}));
}

TEST(StagesApi, CopiesTheOnlyNeighbourOfAnEnd) {
  Neighbours n;
  n.params.after = nullptr;
  n.params.norm_before = -1;  // not looked at
  const auto info = n.average();
  EXPECT_EQ(n.lost, n.before);
  EXPECT_EQ(info.weight_before, 1);
  EXPECT_EQ(info.weight_after, 0);
}

// Everything right but for what `spoil` does.
void expect_refusal(void (*spoil)(Neighbours&), rhz_status status,
                    const std::vector<std::string>& words) {
  Neighbours n;
  spoil(n);
  n.expect_refusal(status, words);
}

TEST(StagesApi, SaysWhatCannotBeAveraged) {
  using N = Neighbours;
  expect_refused(rhz_average_stage(nullptr, nullptr), RHZ_ERR_ARGUMENT, {"is NULL"});
  expect_refusal([](N& n) { n.params.struct_size = 0; }, RHZ_ERR_ABI, {"struct_size is not set"});
  expect_refusal([](N& n) { n.params.tensor_count = 0; }, RHZ_ERR_ARGUMENT, {"names no tensor"});
  expect_refusal([](N& n) { n.params.lost = nullptr; }, RHZ_ERR_ARGUMENT, {"names no tensor"});
  expect_refusal([](N& n) { n.tensors[0].struct_size = 0; }, RHZ_ERR_ABI,
                 {"before[0].struct_size is not set"});
  expect_refusal([](N& n) { n.params.weighting = 3; }, RHZ_ERR_ARGUMENT, {"weighting 3"});
  for (auto spoil :
       {+[](N& n) { n.params.norm_after = -1; }, +[](N& n) { n.params.norm_before = INFINITY; }})
    expect_refusal(spoil, RHZ_ERR_ARGUMENT, {"a gradient norm is negative or not finite"});
  expect_refusal([](N& n) { n.tensors[1].count_elems = 3; }, RHZ_ERR_ARGUMENT,
                 {"\"lost\" has another dtype or count than \"after\""});
  expect_refusal(
      [](N& n) {
        for (auto& t : n.tensors) t.dtype = RHZ_DTYPE_I32;
      },
      RHZ_ERR_ARGUMENT, {"is no float"});
  expect_refusal([](N& n) { n.tensors[0].data = nullptr; }, RHZ_ERR_ARGUMENT,
                 {"\"before\"", "data is NULL"});
  expect_refusal(
      [](N& n) { n.tensors[1] = named("shifted", n.lost), n.tensors[1].data = &n.lost[1]; },
      RHZ_ERR_OVERLAP, {"\"lost\" overlaps \"shifted\""});
}

TEST(StagesApi, KnowsWhoStandsInForWhom) {
  auto found = sized<rhz_stand_in>();
  const uint32_t second[] = {2}, ends[] = {0}, two[] = {2, 3};
  ASSERT_EQ(rhz_stage_stand_in(2, second, 1, 4, RHZ_SCHEDULE_PLAIN, &found), RHZ_OK);
  EXPECT_EQ(found.copy, 0u);
  EXPECT_EQ(found.before, 1u);
  EXPECT_EQ(found.after, 3u);
  ASSERT_EQ(rhz_stage_stand_in(0, ends, 1, 4, RHZ_SCHEDULE_SWAPPED, &found), RHZ_OK);
  EXPECT_EQ(found.copy, 1u);
  EXPECT_EQ(found.before, 1u);
  expect_refused(rhz_stage_stand_in(0, ends, 1, 4, RHZ_SCHEDULE_PLAIN, &found), RHZ_ERR_STATE_LOST,
                 {"stage 0", "only the swapped order of micro-batches teaches stage 1"});
  expect_refused(rhz_stage_stand_in(2, two, 2, 4, RHZ_SCHEDULE_PLAIN, &found), RHZ_ERR_STATE_LOST,
                 {"stage 2", "stage 3", "both lost"});
  expect_refused(rhz_stage_stand_in(4, two, 2, 4, RHZ_SCHEDULE_PLAIN, &found), RHZ_ERR_ARGUMENT,
                 {"stage 4 of 4"});
  expect_refused(rhz_stage_stand_in(2, two, 2, 4, 2, &found), RHZ_ERR_ARGUMENT, {"schedule 2"});
  expect_refused(rhz_stage_stand_in(2, nullptr, 2, 4, 0, &found), RHZ_ERR_ARGUMENT,
                 {"lost is NULL"});
  expect_refused(rhz_stage_stand_in(2, second, 1, 4, 0, nullptr), RHZ_ERR_ARGUMENT,
                 {"rhz_stand_in is NULL"});
}

TEST(StagesApi, MeasuresAGradient) {
  std::vector<float> a{3, 0}, b{0, 4};
  rhz_tensor tensors[] = {named("a", a), named("b", b)};
  double norm = 0;
  ASSERT_EQ(rhz_gradient_norm(tensors, 2, &norm), RHZ_OK);
  EXPECT_EQ(norm, 5);
  tensors[1].dtype = RHZ_DTYPE_U32;
  expect_refused(rhz_gradient_norm(tensors, 2, &norm), RHZ_ERR_ARGUMENT, {"\"b\" is no float"});
  expect_refused(rhz_gradient_norm(tensors, 0, &norm), RHZ_ERR_ARGUMENT, {"names no tensor"});
  expect_refused(rhz_gradient_norm(tensors, 2, nullptr), RHZ_ERR_ARGUMENT, {"out_norm is NULL"});
}

}  // namespace
}  // namespace rhz::test
