// SGD with momentum in f32.  With r = learning rate, decay, momentum and r rounded to f32, per
// element:
//
//   d ← g + decay · p        (g, where the group does not decay)
//   v ← momentum · v + d
//   p ← p − r · v
#pragma once

#include "recovery/optimizer/update_rule.h"

namespace rhz::recovery {

struct SgdOptions : RuleOptions {
  double momentum = 0.9;
};

class Sgd final : public FlatRule {
 public:
  // `tensors.moments`: the velocity.  kArgument: lengths that differ, groups that leave a gap, no
  // learning rate.
  [[nodiscard]] static Result<Sgd> make(SgdOptions options, RuleTensors tensors);

 private:
  Sgd(SgdOptions options, RuleTensors tensors);
  void update(uint64_t step, double learning_rate, const ParameterGroup& group,
              Gradient gradient) override;

  double momentum_;
};

}  // namespace rhz::recovery
