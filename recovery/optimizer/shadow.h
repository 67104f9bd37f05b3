// The shadow of a stage: a neighbour's copy of its state, kept current by the reduced gradients
// that the stage's own optimizer gets.  Exact at the current revision, without a transfer of state.
//
// Never usable in doubt: after a rule that failed, or a digest that differs from the owner's, it
// serves nobody until a new one is made from a fresh copy.  State and rule are the caller's and
// outlive it; one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "recovery/optimizer/update_rule.h"
#include "recovery/state/state.h"
#include "runtime/base/bytes.h"
#include "runtime/base/status.h"
#include "runtime/base/types.h"

namespace rhz::recovery {

class Shadow {
 public:
  // `state` holds the bytes of its revision(), which `step` steps have led to.  `stage`: what texts
  // say.
  Shadow(std::string stage, State& state, UpdateRule& rule, uint64_t step);

  // The reduced gradient of step step() + 1; revision() is one more then.  kState: a gap, with the
  // step that is due; kArgument: a step that was applied already, or the rule's refusal; else the
  // shadow is broken.
  [[nodiscard]] Status apply(uint64_t step, ConstBytes gradient);

  // Why it serves nobody, if it does not.
  const Status& status() const { return broken_; }
  uint64_t step() const { return step_; }
  // Empty when it is broken.
  std::optional<uint64_t> revision() const { return state_.revision(); }
  // Reads the whole state; ManifestBuilder does so in steps.
  Digest root() const { return state_.root(); }

  // The owner's root of `revision` against the shadow's.  kDiverged, naming both, and broken: they
  // differ.  kState: the shadow is at another revision, so that there is nothing to compare.
  [[nodiscard]] Status compare(uint64_t revision, const Digest& owners);

 private:
  Status broken(Status why);

  const std::string stage_;
  State& state_;
  UpdateRule& rule_;
  uint64_t step_;
  Status broken_;
};

}  // namespace rhz::recovery
