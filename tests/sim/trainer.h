// The program on one peer: steps of a few ops in flight at once, a state that every result changes,
// and a boundary at which others may enter.  It gives its buffers to somebody else (a pattern) the
// moment an op returns, and looks later whether anybody wrote there.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "api/src/node.h"
#include "tests/sim/directory.h"
#include "tests/sim/letters.h"
#include "tests/sim/oracles.h"
#include "tests/sim/payload.h"

namespace rhz::sim {

class Trainer {
 public:
  Trainer(World& world, const Config& config, Oracles& oracles, Directory& directory,
          NodeIndex self, recovery::State& state);
  ~Trainer();

  void attach(Node& node, std::function<Time()> clock);
  // After anything that happened to the node.
  void poll();
  void stop_at(uint64_t step) { last_step_ = step; }
  void leave_when_idle() { leaving_ = true; }
  bool cancel_something(uint64_t which);

  bool started() const { return started_; }
  uint64_t step() const { return tensor_[0]; }  // the last one finished
  bool done() const { return done_; }
  bool leaving() const { return leaving_; }
  // Nothing of it is open, and nobody has to take anything any more.
  bool idle() const;
  std::string text() const;
  uint64_t state_hash() const;

 private:
  struct Op;
  void begin_step();
  // trainer_groups.cc: after each boundary the members split the world anew.
  void begin_epoch();
  void split(GroupId parent, uint32_t axis, const SplitChoice& choice);
  void split_over(uint32_t axis, const Status& status, GroupId group);
  void close_axis(uint32_t axis);
  void maybe_close_early();
  void go_on_splitting(uint32_t axis);
  Slot own_slot() const;
  Communicator* communicator_of(const Op& op) const;
  Slot root_of(const Workload& workload) const;
  void submit_next();
  void more_input_later(OpKey key, uint64_t there);
  void more_input(OpKey key, uint64_t there);
  void read_early_later(OpKey key);
  void read_early(OpKey key);
  void check_early(const Op& op, const OpOutcome& outcome);
  void submit_later();
  VaryingRef blocks_of(const Op& op) const;
  void op_released(Op& op, const OpOutcome& outcome);
  void op_finalised(Op& op, const Status& status);
  bool is_unprotected(OpKind kind) const;
  void op_over(Op& op, bool well);
  bool is_step_over() const;
  bool goes_ahead(const Workload& workload) const;
  void step_over(Duration pause);
  void advance();
  void finish_step();
  void apply_results();
  void follow();
  void finish_boundary();
  void check_poison(const Op& op);
  Op& make_op(OpKey key, const Workload& workload);

  World& world_;
  const Config& config_;
  Oracles& oracles_;
  Directory& directory_;
  const NodeIndex self_;
  recovery::State& state_;
  Letters letters_;
  Node* node_ = nullptr;
  std::function<Time()> clock_;
  struct Axis {
    GroupId group;  // the root group: none
    uint32_t colour = 0;
  };
  std::array<Axis, kAxes + 1> axes_{};
  uint32_t splits_open_ = 0;
  std::vector<uint64_t> tensor_;  // [0]: steps finished; the rest depends on every result so far
  bool started_ = false, leaving_ = false, left_ = false, done_ = false, at_boundary_ = false;
  bool advancing_ = false, applying_ = false, astray_ = false;
  bool ahead_ = false;  // the first op of this step was submitted behind the boundary
  uint64_t last_step_ = ~uint64_t{0};
  uint32_t submitted_ = 0, open_ = 0;
  std::vector<std::unique_ptr<Op>> ops_;   // of this step
  std::vector<std::unique_ptr<Op>> past_;  // returned, and possibly still known to the runtime
  std::vector<std::pair<OpKey, uint64_t>> results_;
};

}  // namespace rhz::sim
