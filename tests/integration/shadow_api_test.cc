// rhizome_shadow.h: a copy that follows a stage by its gradients.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "tests/integration/local_run.h"

namespace rhz::test {
namespace {

using Digest = std::array<uint8_t, 16>;
using Floats = std::vector<float>;

rhz_tensor named(const char* name, void* data, uint64_t count, uint32_t dtype) {
  auto tensor = sized<rhz_tensor>();
  tensor.name = name;
  tensor.data = data;
  tensor.count_elems = count;
  tensor.dtype = dtype;
  return tensor;
}

constexpr uint64_t kCount = 1000;

double warm(uint64_t step, void*) { return step < 3 ? 0.01 : 0.1; }

// Somebody's parameters, moments and steps, and a shadow over them.
struct Holder {
  Floats parameters, first = Floats(kCount), second = Floats(kCount);
  uint64_t steps = 0;
  rhz_shadow_params params = sized<rhz_shadow_params>();
  rhz_shadow* shadow = nullptr;

  explicit Holder(uint32_t rule = RHZ_RULE_ADAMW) {
    for (uint64_t i = 0; i < kCount; ++i) parameters.push_back(static_cast<float>(i % 17) / 7 - 1);
    params.stage = "stage 2";
    params.revision = 40;
    params.rule = rule;
    params.parameters = parameters.data();
    params.first_moment = first.data();
    params.second_moment = second.data();
    params.steps = &steps;
    params.count_elems = kCount;
    params.learning_rate_of = warm;
    params.weight_decay = 0.1;
    params.max_gradient_norm = 1;
    params.momentum = 0.9;
    params.beta1 = 0.9;
    params.beta2 = 0.99;
    params.epsilon = 1e-8;
  }
  ~Holder() { rhz_shadow_close(shadow); }
  Holder(const Holder&) = delete;
  void create() { ASSERT_EQ(rhz_shadow_create(&params, &shadow), RHZ_OK) << rhz_last_error(); }
  rhz_status apply(uint64_t step) {
    const Floats gradient = gradient_of(step);
    return rhz_shadow_apply(shadow, step, gradient.data(), 4 * kCount);
  }
  static Floats gradient_of(uint64_t step) {
    Floats gradient;
    for (uint64_t i = 0; i < kCount; ++i)
      gradient.push_back(static_cast<float>((i * step) % 29) / 31 - 0.4f);
    return gradient;
  }
  std::vector<rhz_tensor> tensors() {
    return {named("parameters", parameters.data(), kCount, RHZ_DTYPE_F32),
            named("adamw/second_moment", second.data(), kCount, RHZ_DTYPE_F32),
            named("adamw/first_moment", first.data(), kCount, RHZ_DTYPE_F32),
            named("adamw/steps", &steps, 1, RHZ_DTYPE_U64)};
  }
  Digest digest() {
    Digest digest{};
    const auto all = tensors();
    EXPECT_EQ(rhz_digest_tensors(all.data(), 4, digest.data()), RHZ_OK) << rhz_last_error();
    return digest;
  }
};

TEST(ShadowApi, HasTheOwnersBits) {
  Holder owner, neighbour;
  owner.create();
  neighbour.create();
  for (uint64_t step = 1; step <= 20; ++step) {
    ASSERT_EQ(owner.apply(step), RHZ_OK) << rhz_last_error();
    ASSERT_EQ(neighbour.apply(step), RHZ_OK) << rhz_last_error();
    ASSERT_EQ(rhz_shadow_compare(neighbour.shadow, 40 + step, owner.digest().data()), RHZ_OK)
        << rhz_last_error();
  }
  auto info = sized<rhz_shadow_info>();
  ASSERT_EQ(rhz_shadow_info_get(neighbour.shadow, &info), RHZ_OK);
  EXPECT_EQ(info.revision, 60u);
  EXPECT_EQ(info.step, 20u);
  EXPECT_EQ(info.bytes, 3 * 4 * kCount + 8);
  EXPECT_EQ(info.tensor_count, 4u);
}

TEST(ShadowApi, GivesTheStateBackByName) {
  Holder h;
  h.create();
  ASSERT_EQ(h.apply(1), RHZ_OK);
  rhz_tensor tensors[4];
  for (auto& tensor : tensors) tensor = sized<rhz_tensor>();
  uint32_t count = 3;
  expect_refused(rhz_shadow_tensors(h.shadow, tensors, &count), RHZ_ERR_ARGUMENT,
                 {"no room for 4"});
  EXPECT_EQ(count, 4u);
  ASSERT_EQ(rhz_shadow_tensors(h.shadow, tensors, &count), RHZ_OK) << rhz_last_error();
  EXPECT_STREQ(tensors[0].name, "adamw/first_moment");
  EXPECT_EQ(tensors[0].data, h.first.data());
  EXPECT_STREQ(tensors[2].name, "adamw/steps");
  EXPECT_EQ(*static_cast<uint64_t*>(tensors[2].data), 1u);
  EXPECT_STREQ(tensors[3].name, "parameters");
  EXPECT_EQ(tensors[3].count_elems, kCount);
  Digest digest{};
  ASSERT_EQ(rhz_digest_tensors(tensors, count, digest.data()), RHZ_OK);
  EXPECT_EQ(digest, h.digest()) << "whatever the order that they are given in";
}

TEST(ShadowApi, IsMadeAnewWhereTheOwnerEnded) {
  Holder owner, late;
  owner.create();
  for (uint64_t step = 1; step <= 5; ++step) ASSERT_EQ(owner.apply(step), RHZ_OK);
  late.parameters = owner.parameters;
  late.first = owner.first;
  late.second = owner.second;
  late.steps = owner.steps;
  late.params.parameters = late.parameters.data();
  late.params.first_moment = late.first.data();
  late.params.second_moment = late.second.data();
  late.params.revision = 45;
  late.create();
  EXPECT_EQ(owner.apply(6) + late.apply(6), RHZ_OK);
  EXPECT_EQ(rhz_shadow_compare(late.shadow, 46, owner.digest().data()), RHZ_OK);
}

TEST(ShadowApi, RefusesGapsAndRepetitionsAndStaysUsable) {
  Holder h;
  h.create();
  ASSERT_EQ(h.apply(1), RHZ_OK);
  const Digest before = h.digest();
  expect_refused(h.apply(3), RHZ_ERR_STATE,
                 {"shadow of stage 2", "step 3 came, and step 2 is due"});
  expect_refused(h.apply(1), RHZ_ERR_ARGUMENT, {"step 1 was applied already"});
  expect_refused(rhz_shadow_apply(h.shadow, 2, h.first.data(), 12), RHZ_ERR_ARGUMENT,
                 {"a gradient of 12 bytes for 4000 bytes of parameters"});
  expect_refused(rhz_shadow_compare(h.shadow, 40, before.data()), RHZ_ERR_STATE,
                 {"it is at revision 41", "of 40"});
  EXPECT_EQ(h.digest(), before);
  EXPECT_EQ(h.apply(2), RHZ_OK);
}

TEST(ShadowApi, ServesNobodyBehindADigestThatDiffers) {
  Holder h;
  h.create();
  Digest other = h.digest();
  other[3] ^= 1;
  expect_refused(
      rhz_shadow_compare(h.shadow, 40, other.data()), RHZ_ERR_DIVERGED,
      {"shadow of stage 2: its digest at revision 40 is", "copy the stage's state anew"});
  expect_refused(h.apply(1), RHZ_ERR_DIVERGED, {"its digest at revision 40"});
  auto info = sized<rhz_shadow_info>();
  info.revision = 7;
  EXPECT_EQ(rhz_shadow_info_get(h.shadow, &info), RHZ_ERR_DIVERGED);
  EXPECT_EQ(info.revision, 0u);
  rhz_tensor tensors[4];
  uint32_t count = 4;
  expect_refused(rhz_shadow_tensors(h.shadow, tensors, &count), RHZ_ERR_DIVERGED,
                 {"copy the stage's state anew"});
}

// As PyTorch's SGD has it: decay into the gradient, then momentum, then the rate.
TEST(ShadowApi, DecaysAsPyTorchsSgdDoes) {
  Holder h(RHZ_RULE_SGD);
  h.params.max_gradient_norm = 0;
  rhz_parameter_group groups[] = {sized<rhz_parameter_group>(), sized<rhz_parameter_group>()};
  groups[0].count_elems = 10;
  groups[0].decays = 1;
  groups[1].offset = 10;
  groups[1].count_elems = kCount - 10;
  h.params.groups = groups;
  h.params.group_count = 2;
  h.create();
  Floats p = h.parameters, v(kCount);
  for (uint64_t step = 1; step <= 4; ++step) {
    ASSERT_EQ(h.apply(step), RHZ_OK) << rhz_last_error();
    const Floats g = Holder::gradient_of(step);
    const auto rate = static_cast<float>(warm(step, nullptr));
    for (uint64_t i = 0; i < kCount; ++i) {
      const float decayed = 0.1f * p[i];
      const float d = i < 10 ? g[i] + decayed : g[i];
      const float kept = 0.9f * v[i];
      v[i] = kept + d;
      const float moved = rate * v[i];
      p[i] -= moved;
    }
  }
  for (uint64_t i = 0; i < kCount; ++i) ASSERT_NEAR(h.parameters[i], p[i], 1e-5) << i;
}

struct Counter {
  uint64_t value = 0;
  int answer = 0;
};
int count_up(uint64_t step, const void* gradient, uint64_t bytes, void* context) {
  auto* counter = static_cast<Counter*>(context);
  counter->value += step * bytes + *static_cast<const uint8_t*>(gradient);
  return counter->answer;
}

TEST(ShadowApi, CallsTheTrainersOwnRule) {
  Counter counter;
  const rhz_tensor tensor = named("counter", &counter.value, 1, RHZ_DTYPE_U64);
  auto params = sized<rhz_shadow_params>();
  params.rule = RHZ_RULE_CALLBACK;
  params.revision = 7;
  params.step = 6;
  params.update = count_up;
  params.context = &counter;
  params.tensors = &tensor;
  params.tensor_count = 1;
  rhz_shadow* shadow = nullptr;
  ASSERT_EQ(rhz_shadow_create(&params, &shadow), RHZ_OK) << rhz_last_error();
  ASSERT_EQ(rhz_shadow_apply(shadow, 7, "\x05", 1), RHZ_OK) << rhz_last_error();
  EXPECT_EQ(counter.value, 12u);
  counter.answer = 3;
  expect_refused(rhz_shadow_apply(shadow, 8, "\x05", 1), RHZ_ERR_DIVERGED,
                 {"shadow of a stage", "the update rule returned 3 in step 8"});
  expect_refused(rhz_shadow_apply(shadow, 8, "\x05", 1), RHZ_ERR_DIVERGED, {"returned 3"});
  rhz_shadow_close(shadow);
}

void expect_bad(void (*spoil)(rhz_shadow_params&), const std::string& word,
                uint32_t rule = RHZ_RULE_ADAMW) {
  Holder h(rule);
  spoil(h.params);
  expect_refused(rhz_shadow_create(&h.params, &h.shadow), RHZ_ERR_ARGUMENT,
                 {"rhz_shadow_params." + word});
  EXPECT_EQ(h.shadow, nullptr);
}

TEST(ShadowApi, SaysWhichParameterMakesNoSense) {
  using P = rhz_shadow_params;
  expect_bad([](P& p) { p.rule = 0; }, "rule 0 is none of RHZ_RULE_*");
  expect_bad([](P& p) { p.flags = 1; }, "flags has unknown flags");
  expect_bad([](P& p) { p.reserved2 = 1; }, "reserved must be 0");
  expect_bad([](P& p) { p.revision = 0; }, "revision is 0");
  expect_bad([](P& p) { p.step = 1; }, "step is 0 for this rule");
  expect_bad([](P& p) { p.parameters = nullptr; }, "parameters is NULL");
  expect_bad([](P& p) { p.first_moment = nullptr; }, "first_moment is NULL", RHZ_RULE_SGD);
  expect_bad([](P& p) { p.second_moment = nullptr; }, "second_moment is NULL");
  expect_bad([](P& p) { p.steps = nullptr; }, "steps is NULL");
  expect_bad([](P& p) { p.count_elems = 0; }, "count_elems is 0");
  expect_bad([](P& p) { p.learning_rate = NAN; }, "learning_rate is negative or not finite");
  expect_bad([](P& p) { p.weight_decay = -1; }, "weight_decay is negative");
  expect_bad([](P& p) { p.max_gradient_norm = INFINITY; }, "max_gradient_norm is negative or not");
  expect_bad([](P& p) { p.momentum = -1; }, "momentum is negative", RHZ_RULE_SGD);
  expect_bad([](P& p) { p.beta1 = 1; }, "beta1 is not in [0, 1)");
  expect_bad([](P& p) { p.beta2 = -0.5; }, "beta2 is not in [0, 1)");
  expect_bad([](P& p) { p.epsilon = NAN; }, "epsilon is negative");
  expect_bad([](P& p) { p.group_count = 1; }, "groups is NULL");
  expect_bad([](P&) {}, "update is NULL", RHZ_RULE_CALLBACK);
  expect_bad([](P& p) { p.update = count_up; }, "tensors names no tensor", RHZ_RULE_CALLBACK);
  Holder h;
  auto group = sized<rhz_parameter_group>();
  group.offset = 1;
  group.count_elems = kCount - 1;
  h.params.groups = &group;
  h.params.group_count = 1;
  expect_refused(rhz_shadow_create(&h.params, &h.shadow), RHZ_ERR_ARGUMENT,
                 {"the groups do not follow each other"});
  h.params.struct_size = 0;
  expect_refused(rhz_shadow_create(&h.params, &h.shadow), RHZ_ERR_ABI, {"struct_size"});
  expect_refused(rhz_shadow_create(&h.params, nullptr), RHZ_ERR_ARGUMENT, {"out_shadow is NULL"});
  expect_refused(rhz_shadow_apply(nullptr, 1, nullptr, 0), RHZ_ERR_ARGUMENT, {"shadow is NULL"});
  rhz_shadow_close(nullptr);
  const auto twice = named("w", h.first.data(), 1, RHZ_DTYPE_F32);
  const rhz_tensor both[] = {twice, twice};
  Digest digest{};
  expect_refused(rhz_digest_tensors(both, 2, digest.data()), RHZ_ERR_ARGUMENT, {"\"w\"", "taken"});
}

}  // namespace
}  // namespace rhz::test
