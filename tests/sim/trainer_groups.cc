// Sub-communicators of the simulated program.  Slots lie in rows of two; axis 1 is the row (its
// ranks the other way round), axis 2 the column, without every fifth slot, and axis 3 a row once
// more, split off axis 1.
#include "runtime/base/assert.h"
#include "tests/sim/trainer_op.h"

namespace rhz::sim {
namespace {
constexpr uint32_t kRow = 1, kColumn = 2, kRowAgain = 3;
}

// As a program does whose world may have changed: it makes its groups again.
void Trainer::begin_epoch() {
  if (!config_.groups || step() >= last_step_ || leaving_) return begin_step();
  for (uint32_t axis = 1; axis <= kAxes; ++axis) close_axis(axis);
  const uint32_t slot = own_slot().value;
  splits_open_ = 2;
  axes_[kRow].colour = axes_[kRowAgain].colour = slot / 2;
  axes_[kColumn].colour = slot % 2;
  split(kRootGroup, kRow, {false, slot / 2, -static_cast<int32_t>(slot)});
  split(kRootGroup, kColumn, {slot % 5 == 4, slot % 2, 0});
}

Slot Trainer::own_slot() const {
  const Rank rank = node_->communicator().view().rank_of(directory_.id_of(self_));
  RHZ_ASSERT("sim", rank != kNoRank);
  return node_->communicator().view().members[rank.value].slot;
}

void Trainer::split(GroupId parent, uint32_t axis, const SplitChoice& choice) {
  node_->split(
      clock_(), parent, choice, Duration::zero(),
      [this, axis](const Status& status, GroupId group) { split_over(axis, status, group); });
}

void Trainer::split_over(uint32_t axis, const Status& status, GroupId group) {
  if (node_->ended()) return;
  world_.trace("split", static_cast<int>(self_), axis, group.value, code_text(status.code()));
  axes_[axis].group = group;
  if (group != kRootGroup) oracles_.entered_group(self_, group, node_->groups().members(group));
  if (--splits_open_ > 0) return;
  world_.after(World::between(world_.workload, Duration(0), config_.base_latency),
               [this, axis, self = self_, &directory = directory_] {
                 directory.run(self, [this, axis] { go_on_splitting(axis); });
               });
}

void Trainer::go_on_splitting(uint32_t axis) {
  if (node_->ended()) return;
  const Communicator* row = node_->groups().find(axes_[kRow].group);
  if (axis == kRowAgain || axes_[kRow].group == kRootGroup || !row) return begin_step();
  splits_open_ = 1;
  split(axes_[kRow].group, kRowAgain, {false, 7, static_cast<int32_t>(own_slot().value)});
}

void Trainer::close_axis(uint32_t axis) {
  const GroupId group = std::exchange(axes_[axis].group, kRootGroup);
  if (group != kRootGroup) node_->close_group(clock_(), group);
}

// One member is done with a group while others go on with it.
void Trainer::maybe_close_early() {
  if (!config_.groups || !world_.workload.chance(0.01)) return;
  const auto axis = 1 + static_cast<uint32_t>(world_.workload.below(kAxes));
  if (axes_[axis].group != kRootGroup) node_->close_group(clock_(), axes_[axis].group);
}

// Null: it was closed here, and what others submit to it ends without this one.
Communicator* Trainer::communicator_of(const Op& op) const {
  Communicator* communicator = node_->groups().find(op.group);
  return communicator && communicator->closing() && !op.submitted ? nullptr : communicator;
}

// In a row or a column there are other slots than in the world.
Slot Trainer::root_of(const Workload& workload) const {
  const uint32_t slot = workload.root.value, colour = axes_[workload.axis].colour;
  if (workload.axis == 0 || workload.root == kAnySlot) return workload.root;
  return Slot(workload.axis == kColumn ? colour + slot / 2 * 2 : colour * 2 + slot % 2);
}

}  // namespace rhz::sim
