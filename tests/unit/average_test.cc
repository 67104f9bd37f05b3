#include "recovery/average/average.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "collectives/reduce/dtype.h"
#include "collectives/reduce/half.h"
#include "recovery/average/stage_order.h"
#include "runtime/base/prng.h"

namespace rhz::recovery {
namespace {

using reduce::Dtype;

template <class T>
Tensor tensor(std::string name, Dtype dtype, std::vector<T>& values) {
  return {std::move(name), static_cast<uint32_t>(dtype), values.size(),
          reinterpret_cast<std::byte*>(values.data()), values.size() * sizeof(T)};
}

template <class T>
std::vector<T> random_values(size_t count, uint64_t seed, double scale = 1) {
  std::vector<T> values(count);
  Prng prng(seed);
  for (T& value : values) value = static_cast<T>((prng.unit() - 0.5) * scale);
  return values;
}

template <class T>
std::vector<T> averaged(Dtype dtype, std::vector<T> before, std::vector<T> after,
                        NeighbourWeights weights, uint64_t budget = UINT64_MAX) {
  std::vector<T> lost(before.size());
  const Tensor a[] = {tensor("a", dtype, before)}, b[] = {tensor("b", dtype, after)},
               out[] = {tensor("lost", dtype, lost)};
  StageAverage run = StageAverage::average(a, b, weights, out).value();
  while (!run.step(budget)) continue;
  return lost;
}

TEST(NeighbourWeights, AreTheNormsOfTheGradientsBeforeClippingByDefault) {
  const auto weights = neighbour_weights(Weighting::norm, 3, 0, 1).value();
  EXPECT_EQ(weights.before, 3 + 1e-4);
  EXPECT_EQ(weights.after, 1e-4);
}

TEST(NeighbourWeights, AreEqualWhereBothNeighboursClip) {
  const auto both = neighbour_weights(Weighting::clipped_norm, 3, 70, 1).value();
  EXPECT_EQ(both.before, 1 + 1e-4);
  EXPECT_EQ(both.before, both.after);
  const auto one = neighbour_weights(Weighting::clipped_norm, 0.25, 70, 1).value();
  EXPECT_EQ(one.before, 0.25 + 1e-4);
  const auto never = neighbour_weights(Weighting::clipped_norm, 3, 70, 0).value();
  EXPECT_EQ(never.after, 70 + 1e-4);
}

TEST(NeighbourWeights, OfTheMeanDoNotLookAtNorms) {
  const auto weights = neighbour_weights(Weighting::mean, NAN, -1, 0).value();
  EXPECT_EQ(weights.before, weights.after);
}

TEST(NeighbourWeights, RefuseNormsThatAreNone) {
  for (const double bad :
       {-1.0, static_cast<double>(NAN), std::numeric_limits<double>::infinity()}) {
    EXPECT_EQ(neighbour_weights(Weighting::norm, bad, 1, 1).status().code(), Code::kArgument);
    EXPECT_EQ(neighbour_weights(Weighting::norm, 1, bad, 1).status().code(), Code::kArgument);
  }
}

TEST(StageAverage, IsTheFormulaRoundedOnce) {
  const auto a = random_values<float>(1001, 1), b = random_values<float>(1001, 2, 100);
  const auto out = averaged(Dtype::f32, a, b, {0.3, 2.5});
  for (size_t i = 0; i < a.size(); ++i) {
    const double exact = (0.3 * a[i] + 2.5 * b[i]) / (0.3 + 2.5);
    ASSERT_EQ(out[i], static_cast<float>(exact)) << i;
  }
  const auto c = random_values<double>(77, 1), d = random_values<double>(77, 2);
  const auto wide = averaged(Dtype::f64, c, d, {3, 1});
  for (size_t i = 0; i < c.size(); ++i) ASSERT_EQ(wide[i], (3 * c[i] + d[i]) / 4);
}

TEST(StageAverage, ComputesHalvesInF32) {
  std::vector<uint16_t> a, b;
  for (const double x : random_values<double>(333, 3, 8))
    a.push_back(reduce::f16_from_f32(static_cast<float>(x)));
  for (const double x : random_values<double>(333, 4, 8))
    b.push_back(reduce::f16_from_f32(static_cast<float>(x)));
  const auto halves = averaged(Dtype::f16, a, b, {1, 3});
  const auto brains = averaged(Dtype::bf16, a, b, {1, 3});
  for (size_t i = 0; i < a.size(); ++i) {
    const float half = (reduce::f32_from_f16(a[i]) + 3 * reduce::f32_from_f16(b[i])) / 4;
    const float brain = (reduce::f32_from_bf16(a[i]) + 3 * reduce::f32_from_bf16(b[i])) / 4;
    ASSERT_EQ(halves[i], reduce::f16_from_f32(half));
    ASSERT_EQ(brains[i], reduce::bf16_from_f32(brain));
  }
}

TEST(StageAverage, OfEqualNeighboursIsTheirs) {
  const auto values = random_values<float>(500, 9, 1e6);
  EXPECT_EQ(averaged(Dtype::f32, values, values, {0.1234, 7.77}), values);
}

TEST(StageAverage, IsTheSameHoweverSmallTheSteps) {
  const auto a = random_values<float>(100, 1), b = random_values<float>(100, 2);
  for (const uint64_t budget : {0, 1, 7, 64, 399})
    EXPECT_EQ(averaged(Dtype::f32, a, b, {1, 2}, budget), averaged(Dtype::f32, a, b, {1, 2}));
}

TEST(StageAverage, CopiesTheStandInOfAnEnd) {
  auto weights = random_values<float>(50, 1);
  std::vector<uint64_t> counter = {42};
  std::vector<float> lost_weights(50);
  std::vector<uint64_t> lost_counter(1);
  const Tensor from[] = {tensor("w", Dtype::f32, weights), tensor("n", Dtype::u64, counter)};
  const Tensor to[] = {tensor("w", Dtype::f32, lost_weights),
                       tensor("n", Dtype::u64, lost_counter)};
  StageAverage run = StageAverage::copy(from, to).value();
  while (!run.step(16)) continue;
  EXPECT_EQ(lost_weights, weights);
  EXPECT_EQ(lost_counter, counter);
}

TEST(StageAverage, RefusesStagesThatDiffer) {
  std::vector<float> ten(10), eleven(11);
  std::vector<double> wide(10);
  std::vector<uint32_t> integers(10);
  const Tensor a[] = {tensor("a.w", Dtype::f32, ten)},
               longer[] = {tensor("b.w", Dtype::f32, eleven)},
               doubles[] = {tensor("c.w", Dtype::f64, wide)},
               counters[] = {tensor("n", Dtype::u32, integers)};
  const auto text = [](std::span<const Tensor> before, std::span<const Tensor> after,
                       std::span<const Tensor> lost) {
    const Status status = StageAverage::average(before, after, {}, lost).status();
    EXPECT_EQ(status.code(), Code::kArgument);
    return status.text();
  };
  EXPECT_EQ(text(a, longer, a),
            "tensor \"a.w\" has another dtype or count than \"b.w\" of the neighbour");
  EXPECT_EQ(text(longer, a, a),
            "tensor \"a.w\" has another dtype or count than \"b.w\" of the neighbour");
  EXPECT_EQ(text(a, doubles, a),
            "tensor \"a.w\" has another dtype or count than \"c.w\" of the neighbour");
  EXPECT_EQ(text(a, {}, a), "the stages have 0 and 1 tensors: they have to be equal in shape");
  EXPECT_EQ(text(counters, counters, counters),
            "tensor \"n\" is no float: only floats can be averaged");
}

TEST(L2Norm, GoesOverAllTensors) {
  std::vector<float> a = {3, 0};
  std::vector<double> b = {-4};
  const Tensor tensors[] = {tensor("a", Dtype::f32, a), tensor("b", Dtype::f64, b)};
  EXPECT_EQ(l2_norm(tensors).value(), 5);
  std::vector<uint8_t> c = {1};
  const Tensor bad[] = {tensor("c", Dtype::u8, c)};
  EXPECT_EQ(l2_norm(bad).status().code(), Code::kArgument);
}

TEST(StageOrder, SwapsBothEndsOnEverySecondMicroBatch) {
  using Order = std::vector<uint32_t>;
  EXPECT_EQ(stage_order(0, 6).value(), (Order{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(stage_order(1, 6).value(), (Order{1, 0, 2, 3, 5, 4}));
  EXPECT_EQ(stage_order(7, 4).value(), (Order{1, 0, 3, 2}));
  EXPECT_EQ(stage_order(8, 4).value(), (Order{0, 1, 2, 3}));
  EXPECT_EQ(stage_order(1, 2).value(), (Order{1, 0}));
  EXPECT_EQ(stage_order(1, 1).value(), (Order{0}));
  EXPECT_EQ(stage_order(0, 3).status().code(), Code::kArgument);
  EXPECT_EQ(stage_order(0, 0).status().code(), Code::kArgument);
}

TEST(StandIn, IsBothNeighboursInTheMiddleAndACopyAtTheEnds) {
  const uint32_t lost[] = {2};
  EXPECT_EQ(stand_in(2, lost, 5, Schedule::plain, "disk").value(), (StandIn{false, 1, 3}));
  const uint32_t ends[] = {0, 4};
  EXPECT_EQ(stand_in(0, ends, 5, Schedule::swapped, "disk").value(), (StandIn{true, 1, 1}));
  EXPECT_EQ(stand_in(4, ends, 5, Schedule::swapped, "disk").value(), (StandIn{true, 3, 3}));
}

TEST(StandIn, SaysWhereNeighboursCannotHelp) {
  const uint32_t adjacent[] = {2, 3}, first[] = {0};
  const Status both = stand_in(2, adjacent, 5, Schedule::swapped, "disk").status();
  EXPECT_EQ(both.code(), Code::kStateLost);
  EXPECT_EQ(both.text(),
            "stage 2 and its neighbour stage 3 are both lost: neither can stand in for the other; "
            "next source: disk");
  EXPECT_EQ(stand_in(3, adjacent, 5, Schedule::swapped, "disk").status().code(), Code::kStateLost);
  const Status end = stand_in(0, first, 5, Schedule::plain, "disk").status();
  EXPECT_EQ(end.code(), Code::kStateLost);
  EXPECT_EQ(end.text(),
            "stage 0 is at the end of the pipeline: only the swapped order of micro-batches "
            "teaches stage 1 its part; "
            "next source: disk");
  EXPECT_EQ(stand_in(5, first, 5, Schedule::swapped, "disk").status().code(), Code::kArgument);
  EXPECT_EQ(stand_in(0, first, 1, Schedule::swapped, "disk").status().code(), Code::kArgument);
}

TEST(EdgeCopies, LieBesideTheirOwners) {
  EXPECT_EQ(embedding_copy(), (EdgeCopy{0, 1}));
  EXPECT_EQ(head_copy(6), (EdgeCopy{5, 4}));
}

}  // namespace
}  // namespace rhz::recovery
