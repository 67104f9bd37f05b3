// An optimizer's update, as a shadow repeats it: the same bits as on the trainer, from the same
// gradients in the same order. Owned by whoever shadows; one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "recovery/state/state.h"
#include "runtime/base/bytes.h"
#include "runtime/base/status.h"

namespace rhz::recovery {

class UpdateRule {
 public:
  virtual ~UpdateRule() = default;
  // Applies the reduced gradient of `step`, which counts from 1, to the tensors that the rule was
  // made for.  An error leaves them undefined unless it is kArgument or kState.
  [[nodiscard]] virtual Status apply(uint64_t step, ConstBytes gradient) = 0;
};

// The trainer's own rule, compiled into the program that shadows.
class CallbackRule final : public UpdateRule {
 public:
  // 0: applied.  Anything else ends the shadow.
  using Function = std::function<int(uint64_t step, ConstBytes gradient)>;
  explicit CallbackRule(Function function) : function_(std::move(function)) {}
  [[nodiscard]] Status apply(uint64_t step, ConstBytes gradient) override;

 private:
  Function function_;
};

// A part of the flat parameter array.
struct ParameterGroup {
  uint64_t offset = 0;
  uint64_t count = 0;  // elements
  bool decays = true;  // by weight_decay
};

// What the built-in rules have in common: f32 parameters in one flat array on the host, as the
// example trainers have them.
struct RuleOptions {
  std::function<double(uint64_t step)>
      learning_rate;  // a function of the step alone, or shadow and owner part
  double weight_decay = 0;
  double max_gradient_norm = 0;  // gradients of a larger L2 norm are scaled down to it; 0: never
  std::vector<ParameterGroup> groups;  // without gap, from 0; none: one that decays
};

// Parameters, what the rule keeps beside them, and the steps done: the tensors of a state.  Memory
// is the caller's.
struct RuleTensors {
  std::span<float> parameters;
  std::vector<std::span<float>> moments;  // as long as the parameters; zero before the first step
  uint64_t* steps = nullptr;
};

// The checks and the clipping that both rules share.  Private to this folder.
class FlatRule : public UpdateRule {
 public:
  [[nodiscard]] Status apply(uint64_t step, ConstBytes gradient) final;
  // "PREFIXparameters", "PREFIXNAME/first_moment" …, "PREFIXNAME/steps", to be registered with a
  // State.
  std::vector<Tensor> tensors(const std::string& prefix) const;

 protected:
  FlatRule(RuleOptions options, RuleTensors tensors, std::vector<std::string> names);
  [[nodiscard]] static Status check(const RuleOptions& options, const RuleTensors& tensors,
                                    size_t moments);
  // One group; element i of the gradient is gradient[i] · scale, rounded, where `scaled`.
  struct Gradient {
    const std::byte* bytes;
    float scale;
    bool scaled;
    float operator[](uint64_t i) const {
      const float value = load<float>(bytes + i * sizeof(float));
      return scaled ? value * scale : value;
    }
  };
  virtual void update(uint64_t step, double learning_rate, const ParameterGroup& group,
                      Gradient gradient) = 0;

  const RuleOptions options_;
  const RuleTensors tensors_;

 private:
  const std::vector<std::string> names_;  // of the moments, then of the steps
};

}  // namespace rhz::recovery
