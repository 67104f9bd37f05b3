#include "recovery/optimizer/update_rule.h"

#include <cmath>
#include <utility>

#include "collectives/reduce/dtype.h"
#include "runtime/base/assert.h"

namespace rhz::recovery {
namespace {

using reduce::Dtype;

Tensor tensor(std::string name, Dtype dtype, void* data, uint64_t count) {
  return {std::move(name), static_cast<uint32_t>(dtype), count, static_cast<std::byte*>(data),
          count * reduce::size_of(dtype)};
}

// In the order of the elements: shadow and owner add the same way.
double squared_norm(ConstBytes gradient) {
  double squares = 0;
  for (size_t at = 0; at < gradient.size(); at += sizeof(float)) {
    const double value = load<float>(gradient.data() + at);
    squares += value * value;
  }
  return squares;
}

}  // namespace

Status CallbackRule::apply(uint64_t step, ConstBytes gradient) {
  const int result = function_(step, gradient);
  if (result == 0) return Status::ok();
  return {Code::kDiverged, "the update rule returned " + std::to_string(result) + " in step " +
                               std::to_string(step)};
}

FlatRule::FlatRule(RuleOptions options, RuleTensors tensors, std::vector<std::string> names)
    : options_(std::move(options)), tensors_(std::move(tensors)), names_(std::move(names)) {}

Status FlatRule::check(const RuleOptions& options, const RuleTensors& tensors, size_t moments) {
  const auto refused = [](const char* why) {
    return Status(Code::kArgument, std::string("update rule: ") + why);
  };
  if (!options.learning_rate) return refused("there is no learning rate");
  if (tensors.parameters.empty() || tensors.steps == nullptr) return refused("a tensor is missing");
  if (tensors.moments.size() != moments) return refused("a moment is missing, or one too many");
  for (const auto& moment : tensors.moments)
    if (moment.size() != tensors.parameters.size())
      return refused("a moment has another length than the parameters");
  uint64_t next = 0;
  for (const ParameterGroup& group : options.groups) {
    if (group.offset != next || group.count > tensors.parameters.size() - next)
      return refused("the groups do not follow each other");
    next += group.count;
  }
  if (!options.groups.empty() && next != tensors.parameters.size())
    return refused("the groups leave parameters out");
  return Status::ok();
}

Status FlatRule::apply(uint64_t step, ConstBytes gradient) {
  if (gradient.size() != tensors_.parameters.size_bytes())
    return {Code::kArgument, "a gradient of " + std::to_string(gradient.size()) + " bytes for " +
                                 std::to_string(tensors_.parameters.size_bytes()) +
                                 " bytes of parameters"};
  if (step != *tensors_.steps + 1)
    return {Code::kState, "step " + std::to_string(step) + " does not follow step " +
                              std::to_string(*tensors_.steps)};
  Gradient scaled{gradient.data(), 1, false};
  if (options_.max_gradient_norm > 0) {
    const double norm = std::sqrt(squared_norm(gradient));
    scaled.scaled = norm > options_.max_gradient_norm;
    if (scaled.scaled) scaled.scale = static_cast<float>(options_.max_gradient_norm / norm);
  }
  const double rate = options_.learning_rate(step);
  for (const ParameterGroup& group : options_.groups) update(step, rate, group, scaled);
  if (options_.groups.empty()) update(step, rate, {0, tensors_.parameters.size(), true}, scaled);
  *tensors_.steps = step;
  return Status::ok();
}

std::vector<Tensor> FlatRule::tensors(const std::string& prefix) const {
  RHZ_ASSERT("a name for each tensor", names_.size() == tensors_.moments.size() + 1);
  std::vector<Tensor> all;
  const auto parameters = tensors_.parameters;
  all.push_back(tensor(prefix + "parameters", Dtype::f32, parameters.data(), parameters.size()));
  for (size_t i = 0; i < tensors_.moments.size(); ++i) {
    const auto moment = tensors_.moments[i];
    all.push_back(tensor(prefix + names_[i], Dtype::f32, moment.data(), moment.size()));
  }
  all.push_back(tensor(prefix + names_.back(), Dtype::u64, tensors_.steps, 1));
  return all;
}

}  // namespace rhz::recovery
