// AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2) in f32,
// operation by operation as lm_adamw() of api/examples/char_lm_model.c, so that both leave the same
// bits.  With r = learning rate, b1 and b2 rounded to f32, per element:
//
//   first  ← b1 · first + (1 − b1) · g
//   second ← b2 · second + ((1 − b2) · g) · g
//   p      ← keep · p − (rate · first) / (sqrt(second) · root + epsilon)
//
// where keep = 1 − r · weight_decay (1 where the group does not decay), rate = r / (1 − beta1^step)
// and root = 1 / sqrt(1 − beta2^step) are computed in f64 and rounded to f32; powers by squaring,
// not by pow().
#pragma once

#include "recovery/optimizer/update_rule.h"

namespace rhz::recovery {

struct AdamWOptions : RuleOptions {
  double beta1 = 0.9;
  double beta2 = 0.99;
  double epsilon = 1e-8;
};

class AdamW final : public FlatRule {
 public:
  // `tensors.moments`: first and second.  kArgument: lengths that differ, groups that leave a gap,
  // no learning rate.
  [[nodiscard]] static Result<AdamW> make(AdamWOptions options, RuleTensors tensors);

 private:
  AdamW(AdamWOptions options, RuleTensors tensors);
  void update(uint64_t step, double learning_rate, const ParameterGroup& group,
              Gradient gradient) override;

  double beta1_, beta2_, epsilon_;
};

}  // namespace rhz::recovery
