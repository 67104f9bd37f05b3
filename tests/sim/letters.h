// The messages that a simulated program sends and receives beside its collectives: a plan per step,
// the same on every rank, of which slot sends what to which.  Who waits for whom is then known to
// all, whatever the view.
#pragma once

#include <memory>
#include <vector>

#include "api/src/node.h"
#include "tests/sim/directory.h"
#include "tests/sim/oracles.h"

namespace rhz::sim {

class Letters {
 public:
  Letters(World& world, const Config& config, Oracles& oracles, NodeIndex self);
  ~Letters();

  void attach(Node& node, std::function<Time()> clock, std::function<void()> all_returned);
  // Submits the own part of the step's plan.
  void begin(uint64_t step);
  size_t open() const { return open_; }
  bool cancel_something(uint64_t which);

 private:
  struct Letter;
  struct Plan {
    OpKey key;
    Slot from, to;
    uint64_t tag = 0, words = 0;
    uint64_t room = 0;  // of the receive
  };
  std::vector<Plan> plan_of(uint64_t step) const;
  void submit(const Plan& plan, bool sends);
  void returned(Letter& letter, const OpOutcome& outcome);
  void check_received(const Letter& letter, const OpOutcome& outcome);
  void check_poison(const Letter& letter) const;

  World& world_;
  const Config& config_;
  Oracles& oracles_;
  const NodeIndex self_;
  Node* node_ = nullptr;
  std::function<Time()> clock_;
  std::function<void()> all_returned_;
  std::vector<std::unique_ptr<Letter>> letters_;
  size_t open_ = 0;
};

}  // namespace rhz::sim
