#include "recovery/optimizer/adamw.h"

#include <cmath>
#include <utility>

namespace rhz::recovery {
namespace {

// The same bits under every libm.
double integer_power(double base, uint64_t exponent) {
  double power = 1;
  for (; exponent != 0; exponent >>= 1, base *= base)
    if ((exponent & 1) != 0) power *= base;
  return power;
}

}  // namespace

Result<AdamW> AdamW::make(AdamWOptions options, RuleTensors tensors) {
  if (Status status = check(options, tensors, 2); !status) return status;
  return AdamW(std::move(options), std::move(tensors));
}

AdamW::AdamW(AdamWOptions options, RuleTensors tensors)
    : FlatRule(options, std::move(tensors),
               {"adamw/first_moment", "adamw/second_moment", "adamw/steps"}),
      beta1_(options.beta1),
      beta2_(options.beta2),
      epsilon_(options.epsilon) {}

void AdamW::update(uint64_t step, double learning_rate, const ParameterGroup& group,
                   Gradient gradient) {
  const auto b1 = static_cast<float>(beta1_), b2 = static_cast<float>(beta2_);
  const auto epsilon = static_cast<float>(epsilon_);
  const auto rate = static_cast<float>(learning_rate / (1 - integer_power(beta1_, step)));
  const auto root = static_cast<float>(1 / std::sqrt(1 - integer_power(beta2_, step)));
  const auto keep =
      static_cast<float>(group.decays ? 1 - learning_rate * options_.weight_decay : 1);
  float* const parameters = tensors_.parameters.data();
  float* const first = tensors_.moments[0].data();
  float* const second = tensors_.moments[1].data();
  for (uint64_t i = group.offset; i < group.offset + group.count; ++i) {
    const float g = gradient[i];
    first[i] = b1 * first[i] + (1 - b1) * g;
    second[i] = b2 * second[i] + (1 - b2) * g * g;
    parameters[i] =
        keep * parameters[i] - rate * first[i] / (std::sqrt(second[i]) * root + epsilon);
  }
}

}  // namespace rhz::recovery
