#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "recovery/optimizer/adamw.h"
#include "recovery/optimizer/sgd.h"
#include "recovery/optimizer/shadow.h"
#include "runtime/base/prng.h"

extern "C" {
#include "api/examples/char_lm_model.h"
void sgd_reference(float* parameters, float* velocity, const float* gradient, size_t count,
                   float rate, float momentum, float decay);
}

namespace rhz::recovery {
namespace {

std::vector<float> random_floats(size_t count, Prng& prng, double scale) {
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>((prng.unit() - 0.5) * scale);
  return values;
}

ConstBytes bytes(const std::vector<float>& values) { return std::as_bytes(std::span(values)); }

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Parameters and `moments` moments, on one side.
struct Memory {
  Memory(std::vector<float> start, size_t moments)
      : parameters(std::move(start)), moments(moments, std::vector<float>(parameters.size())) {}
  RuleTensors tensors() {
    RuleTensors result{parameters, {}, &steps};
    for (auto& moment : moments) result.moments.emplace_back(moment);
    return result;
  }
  std::vector<float> parameters;
  std::vector<std::vector<float>> moments;
  uint64_t steps = 0;
};

double warm(uint64_t step) { return 1e-3 * (step < 20 ? static_cast<double>(step) / 20 : 1.0); }

// The example trainer's model, for its groups.
struct Trainer {
  Trainer() : model(lm_model_new(&config), lm_model_free) {}
  std::vector<ParameterGroup> groups() const {
    std::vector<ParameterGroup> result;
    for (size_t i = 0; i < lm_group_count(model.get()); ++i) {
      const lm_group group = lm_group_at(model.get(), i);
      result.push_back({group.offset, group.count, group.kind == LM_WEIGHT});
    }
    return result;
  }
  std::vector<float> parameters() const {
    std::vector<float> start(lm_parameter_count(model.get()));
    lm_initialize(model.get(), 5, start.data());
    return start;
  }
  lm_config config{2, 8, 16, 2, 2};
  std::unique_ptr<lm_model, void (*)(lm_model*)> model;
};

AdamWOptions trainers_options(const Trainer& trainer) {
  AdamWOptions options;
  options.learning_rate = warm;
  options.weight_decay = 0.01;
  options.max_gradient_norm = 1;
  options.groups = trainer.groups();
  return options;
}

void trainers_step(const Trainer& trainer, Memory& memory, std::vector<float> gradient) {
  const uint64_t step = ++memory.steps;
  lm_clip(gradient.data(), gradient.size(), 1.0);
  lm_adamw(trainer.model.get(), memory.parameters.data(), gradient.data(), memory.moments[0].data(),
           memory.moments[1].data(), step, warm(step));
}

TEST(AdamW, LeavesTheBitsOfTheExampleTrainer) {
  const Trainer trainer;
  Memory theirs(trainer.parameters(), 2), ours(trainer.parameters(), 2);
  AdamW rule = AdamW::make(trainers_options(trainer), ours.tensors()).value();
  Prng prng(1);
  int clipped = 0;
  for (uint64_t step = 1; step <= 300; ++step) {
    // From far below the norm that is clipped to far above it, and now and then a gradient of 0.
    const double scale = prng.chance(0.05) ? 0 : std::pow(10.0, prng.unit() * 12 - 9);
    const auto gradient = random_floats(ours.parameters.size(), prng, scale);
    auto clip = gradient;
    lm_clip(clip.data(), clip.size(), 1.0);
    clipped += same_bits(clip, gradient) ? 0 : 1;
    trainers_step(trainer, theirs, gradient);
    ASSERT_TRUE(rule.apply(step, bytes(gradient)));
    ASSERT_TRUE(same_bits(ours.parameters, theirs.parameters)) << "step " << step;
    ASSERT_TRUE(same_bits(ours.moments[0], theirs.moments[0])) << "step " << step;
    ASSERT_TRUE(same_bits(ours.moments[1], theirs.moments[1])) << "step " << step;
  }
  EXPECT_GT(clipped, 30);
  EXPECT_LT(clipped, 270);
  EXPECT_EQ(ours.steps, 300u);
  EXPECT_FALSE(same_bits(ours.parameters, trainer.parameters()));
}

TEST(Sgd, LeavesTheBitsOfATrainerInC) {
  Prng prng(2);
  const auto start = random_floats(1013, prng, 1);
  Memory theirs(start, 1), ours(start, 1);
  SgdOptions options;
  options.learning_rate = [](uint64_t step) { return 0.1 / static_cast<double>(step); };
  options.weight_decay = 1e-2;
  Sgd rule = Sgd::make(options, ours.tensors()).value();
  for (uint64_t step = 1; step <= 200; ++step) {
    const auto gradient = random_floats(start.size(), prng, std::pow(10.0, prng.unit() * 6 - 3));
    sgd_reference(theirs.parameters.data(), theirs.moments[0].data(), gradient.data(), start.size(),
                  static_cast<float>(0.1 / static_cast<double>(step)), 0.9f, 1e-2f);
    ASSERT_TRUE(rule.apply(step, bytes(gradient)));
    ASSERT_TRUE(same_bits(ours.parameters, theirs.parameters)) << "step " << step;
    ASSERT_TRUE(same_bits(ours.moments[0], theirs.moments[0])) << "step " << step;
  }
}

TEST(UpdateRule, RefusesWhatDoesNotFitAndLeavesTheTensorsAlone) {
  Memory memory({1, 2, 3}, 1);
  SgdOptions options;
  EXPECT_EQ(Sgd::make(options, memory.tensors()).status().text(),
            "update rule: there is no learning rate");
  options.learning_rate = warm;
  options.groups = {{0, 2, true}};
  EXPECT_EQ(Sgd::make(options, memory.tensors()).status().text(),
            "update rule: the groups leave parameters out");
  options.groups = {{0, 1, true}, {2, 1, true}};
  EXPECT_EQ(Sgd::make(options, memory.tensors()).status().text(),
            "update rule: the groups do not follow each other");
  options.groups = {{0, 4, true}};
  EXPECT_EQ(Sgd::make(options, memory.tensors()).status().code(), Code::kArgument);
  options.groups = {{0, 1, true}, {1, 2, false}};
  AdamWOptions adamw;
  adamw.learning_rate = warm;
  EXPECT_EQ(AdamW::make(adamw, memory.tensors()).status().code(), Code::kArgument);
  Sgd rule = Sgd::make(options, memory.tensors()).value();
  const std::vector<float> gradient = {1, 1, 1};
  EXPECT_EQ(rule.apply(1, bytes(gradient).first(8)).text(),
            "a gradient of 8 bytes for 12 bytes of parameters");
  EXPECT_EQ(rule.apply(2, bytes(gradient)).text(), "step 2 does not follow step 0");
  EXPECT_TRUE(same_bits(memory.parameters, {1, 2, 3}));
}

// An owner that trains with the example's own code, and its shadow.
struct ShadowTest : testing::Test {
  void SetUp() override {
    for (const Tensor& tensor : rule->tensors("stage1/")) ASSERT_TRUE(copy.add(tensor));
    ASSERT_TRUE(owners.add({"stage1/parameters", 11, owner.parameters.size(),
                            memory_of(owner.parameters), 4 * owner.parameters.size()}));
    ASSERT_TRUE(owners.add({"stage1/adamw/first_moment", 11, owner.parameters.size(),
                            memory_of(owner.moments[0]), 4 * owner.parameters.size()}));
    ASSERT_TRUE(owners.add({"stage1/adamw/second_moment", 11, owner.parameters.size(),
                            memory_of(owner.moments[1]), 4 * owner.parameters.size()}));
    ASSERT_TRUE(
        owners.add({"stage1/adamw/steps", 8, 1, reinterpret_cast<std::byte*>(&owner.steps), 8}));
    ASSERT_TRUE(copy.commit(10));
  }
  static std::byte* memory_of(std::vector<float>& values) {
    return reinterpret_cast<std::byte*>(values.data());
  }
  std::vector<float> gradient() { return random_floats(owner.parameters.size(), prng, 0.1); }

  Trainer trainer;
  Prng prng{7};
  Memory owner{trainer.parameters(), 2}, shadowed{trainer.parameters(), 2};
  std::unique_ptr<AdamW> rule =
      std::make_unique<AdamW>(AdamW::make(trainers_options(trainer), shadowed.tensors()).value());
  State owners, copy;
};

TEST_F(ShadowTest, IsTheOwnerBitByBitAndRevisionByRevision) {
  Shadow shadow("stage 1", copy, *rule, 0);
  EXPECT_EQ(owners.shape(), copy.shape());
  for (uint64_t step = 1; step <= 50; ++step) {
    const auto reduced = gradient();
    trainers_step(trainer, owner, reduced);
    ASSERT_TRUE(shadow.apply(step, bytes(reduced)));
    ASSERT_EQ(shadow.revision(), 10 + step);
    const Status same = shadow.compare(10 + step, owners.root());
    ASSERT_TRUE(same) << same.text();
  }
}

TEST_F(ShadowTest, TakesEachStepOnceAndInOrder) {
  Shadow shadow("stage 1", copy, *rule, 0);
  const auto reduced = gradient();
  EXPECT_EQ(shadow.apply(2, bytes(reduced)).text(),
            "shadow of stage 1: step 2 came, and step 1 is due");
  EXPECT_EQ(shadow.apply(2, bytes(reduced)).code(), Code::kState);
  ASSERT_TRUE(shadow.apply(1, bytes(reduced)));
  const Digest root = shadow.root();
  EXPECT_EQ(shadow.apply(1, bytes(reduced)).text(),
            "shadow of stage 1: step 1 was applied already");
  EXPECT_EQ(shadow.apply(1, bytes(reduced)).code(), Code::kArgument);
  EXPECT_EQ(shadow.apply(3, bytes(reduced)).code(), Code::kState);
  EXPECT_EQ(shadow.apply(2, bytes(reduced).first(4)).code(), Code::kArgument);
  EXPECT_EQ(shadow.root(), root);
  EXPECT_EQ(shadow.revision(), 11u);
  EXPECT_TRUE(shadow.apply(2, bytes(reduced)));
}

TEST_F(ShadowTest, ServesNobodyOnceItHasDiverged) {
  Shadow shadow("stage 1", copy, *rule, 0);
  const auto reduced = gradient();
  trainers_step(trainer, owner, reduced);
  owner.parameters[3] = std::nextafter(owner.parameters[3], 1.0f);
  ASSERT_TRUE(shadow.apply(1, bytes(reduced)));
  EXPECT_EQ(shadow.compare(10, owners.root()).code(), Code::kState);
  EXPECT_EQ(shadow.revision(), 11u);
  const Status status = shadow.compare(11, owners.root());
  EXPECT_EQ(status.code(), Code::kDiverged);
  EXPECT_NE(status.text().find("shadow of stage 1: its digest at revision 11 is "),
            std::string::npos);
  EXPECT_FALSE(shadow.revision());
  EXPECT_EQ(shadow.apply(2, bytes(reduced)).code(), Code::kDiverged);
  EXPECT_EQ(shadow.compare(11, owners.root()).code(), Code::kDiverged);
}

TEST(Shadow, RunsTheTrainersOwnRule) {
  uint64_t counter = 40;
  State state;
  ASSERT_TRUE(state.add({"counter", 8, 1, reinterpret_cast<std::byte*>(&counter), 8}));
  CallbackRule rule([&](uint64_t step, ConstBytes gradient) {
    if (step == 43) return 5;
    counter += load<uint64_t>(gradient.data());
    return 0;
  });
  EXPECT_EQ(Shadow("stage 0", state, rule, 40).apply(41, {}).text(),
            "shadow of stage 0: it holds no revision yet; copy the stage's state first");
  ASSERT_TRUE(state.commit(7));
  Shadow shadow("stage 0", state, rule, 40);
  const uint64_t two = 2;
  EXPECT_TRUE(shadow.apply(41, bytes_of(&two, 8)));
  EXPECT_TRUE(shadow.apply(42, bytes_of(&two, 8)));
  EXPECT_EQ(counter, 44u);
  EXPECT_EQ(shadow.revision(), 9u);
  EXPECT_EQ(shadow.apply(43, bytes_of(&two, 8)).text(),
            "shadow of stage 0: the update rule returned 5 in step 43");
  EXPECT_FALSE(shadow.revision());
  EXPECT_FALSE(shadow.apply(43, bytes_of(&two, 8)));
}

}  // namespace
}  // namespace rhz::recovery
