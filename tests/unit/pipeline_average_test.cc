// The averaging of the example pipeline trainer against the library's own, bit for bit.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "recovery/average/average.h"

extern "C" {
#include "api/examples/pipeline.h"
}

namespace rhz::recovery {
namespace {

Tensor floats(std::vector<float>& data) {
  Tensor tensor;
  tensor.name = "parameters";
  tensor.dtype = RHZ_DTYPE_F32;
  tensor.count_elems = data.size();
  tensor.data = reinterpret_cast<std::byte*>(data.data());
  tensor.bytes = data.size() * sizeof(float);
  return tensor;
}

struct Case {
  weighting by;
  Weighting library;
};

TEST(PipelineAverage, HasTheBitsOfTheLibrarys) {
  options o{};
  o.stages = 3, o.layers = 1, o.width = 128, o.batch = 1, o.context = 4;
  stage_state mine{};
  ASSERT_TRUE(stage_state_new(&mine, &o));
  stage_notes notes{};
  std::vector<float> arrays(3 * mine.count);
  mine.notes = &notes;
  mine.parameters = arrays.data();
  mine.first_moment = mine.parameters + mine.count;
  mine.second_moment = mine.first_moment + mine.count;
  ASSERT_TRUE(stage_state_start(&mine, &o, 1, 1));
  const lm_part part = mine.parts[LM_LAYERS];
  std::vector<float> before(part.count), after(part.count), expected(part.count);
  uint64_t random = 3;
  for (std::vector<float>* values : {&before, &after})
    for (float& value : *values) value = static_cast<float>(lm_random(&random) % 2000) / 777 - 1;
  const part_notes left{9, 1, 0.25}, right{9, 1, 3.5};
  for (const Case& c : {Case{WEIGHTING_NORM, Weighting::norm},
                        Case{WEIGHTING_CLIPPED_NORM, Weighting::clipped_norm},
                        Case{WEIGHTING_MEAN, Weighting::mean}}) {
    const auto weights = neighbour_weights(c.library, left.gradient_norm, right.gradient_norm, 1);
    ASSERT_TRUE(weights);
    const Tensor tensors[] = {floats(before), floats(after), floats(expected)};
    auto average = StageAverage::average({&tensors[0], 1}, {&tensors[1], 1}, weights.value(),
                                         {&tensors[2], 1});
    ASSERT_TRUE(average);
    ASSERT_TRUE(average.value().step(UINT64_MAX));
    double used[2];
    stage_state_average(&mine, before.data(), left, after.data(), right, c.by, used);
    EXPECT_EQ(used[0], weights.value().before);
    EXPECT_EQ(used[1], weights.value().after);
    EXPECT_EQ(
        std::memcmp(mine.parameters + part.offset, expected.data(), part.count * sizeof(float)), 0);
    EXPECT_EQ(notes.parts[LM_LAYERS].rate_factor, kLearningRateFactor);
    EXPECT_EQ(notes.parts[LM_LAYERS].steps, 0u);
  }
  stage_state_free(&mine);
}

}  // namespace
}  // namespace rhz::recovery
