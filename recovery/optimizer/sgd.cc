#include "recovery/optimizer/sgd.h"

#include <utility>

namespace rhz::recovery {

Result<Sgd> Sgd::make(SgdOptions options, RuleTensors tensors) {
  if (Status status = check(options, tensors, 1); !status) return status;
  return Sgd(std::move(options), std::move(tensors));
}

Sgd::Sgd(SgdOptions options, RuleTensors tensors)
    : FlatRule(options, std::move(tensors), {"sgd/velocity", "sgd/steps"}),
      momentum_(options.momentum) {}

void Sgd::update(uint64_t, double learning_rate, const ParameterGroup& group, Gradient gradient) {
  const auto rate = static_cast<float>(learning_rate), momentum = static_cast<float>(momentum_);
  const auto decay = static_cast<float>(options_.weight_decay);
  float* const parameters = tensors_.parameters.data();
  float* const velocity = tensors_.moments[0].data();
  for (uint64_t i = group.offset; i < group.offset + group.count; ++i) {
    const float g = gradient[i];
    const float d = group.decays ? g + decay * parameters[i] : g;
    velocity[i] = momentum * velocity[i] + d;
    parameters[i] -= rate * velocity[i];
  }
}

}  // namespace rhz::recovery
