#include "recovery/optimizer/shadow.h"

#include <utility>

#include "runtime/digest/digest.h"

namespace rhz::recovery {

Shadow::Shadow(std::string stage, State& state, UpdateRule& rule, uint64_t step)
    : stage_("shadow of " + std::move(stage)), state_(state), rule_(rule), step_(step) {
  if (!state.revision())
    broken_ = {Code::kState, stage_ + ": it holds no revision yet; copy the stage's state first"};
}

Status Shadow::broken(Status why) {
  state_.forget_revision();
  return broken_ = std::move(why);
}

Status Shadow::apply(uint64_t step, ConstBytes gradient) {
  if (!broken_) return broken_;
  if (step > step_ + 1)
    return {Code::kState, stage_ + ": step " + std::to_string(step) + " came, and step " +
                              std::to_string(step_ + 1) + " is due"};
  if (step <= step_)
    return {Code::kArgument, stage_ + ": step " + std::to_string(step) + " was applied already"};
  Status applied = rule_.apply(step, gradient);
  if (!applied) {
    applied = {applied.code(), stage_ + ": " + applied.text()};
    const bool untouched = applied.code() == Code::kArgument || applied.code() == Code::kState;
    return untouched ? applied : broken(applied);
  }
  if (Status committed = state_.commit(*state_.revision() + 1); !committed)
    return broken(committed);
  step_ = step;
  return Status::ok();
}

Status Shadow::compare(uint64_t revision, const Digest& owners) {
  if (!broken_) return broken_;
  if (revision != *state_.revision())
    return {Code::kState, stage_ + ": it is at revision " + std::to_string(*state_.revision()) +
                              ", the owner's digest is of " + std::to_string(revision)};
  const Digest own = root();
  if (own == owners) return Status::ok();
  return broken({Code::kDiverged, stage_ + ": its digest at revision " + std::to_string(revision) +
                                      " is " + to_hex(own) + ", the owner's is " + to_hex(owners) +
                                      "; copy the stage's state anew"});
}

}  // namespace rhz::recovery
