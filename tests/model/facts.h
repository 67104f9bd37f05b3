// Questions about a state, for those who change it and for those who explore it.
#pragma once

#include "tests/model/config.h"
#include "tests/model/shape.h"

namespace rhz::model {

// Ends the program: an array of the packed state is too small for the configuration.
[[noreturn]] void out_of_room(const char* what);

class Facts {
 public:
  Facts(const Config& config, const State& state) : config_(config), state_(state) {}

  const Config& config() const { return config_; }
  const State& state() const { return state_; }
  bool mutated(Mutant mutant) const { return config_.mutant == mutant; }
  int joiner() const { return config_.joiner(); }
  bool is_admit(int op) const { return config_.is_admit(op); }

  // The log.
  int newest_epoch() const;
  PeerSet view(int epoch) const;
  PeerSet newest_view() const { return view(newest_epoch()); }
  const LogRecord* resolution(int epoch) const;  // null: not resolved
  int joiner_epoch() const;                      // epoch of the first view with the joiner; 0: none

  // First op in which a peer takes part, as the resolution of an epoch says.
  int first_op(int peer, int epoch) const;
  // Groups.
  PeerSet group_of(int op) const;
  int previous(int op) const;  // the op before it in its group; < 0: none
  // Participants of an op that are still in the view of an epoch.  (Who asks: for a mutant only.)
  PeerSet participants(int epoch, int op, int asking) const;

  int root_of(int peer) const { return config_.all_are_roots() ? peer : config_.root; }
  // As a peer sees it that has begun the op.
  Shape shape(int peer, int op, int chunk) const {
    return shape_of(config_, state_.peer[peer].op[op].layout, root_of(peer), chunk);
  }
  bool needs(int peer, int op, int chunk) const { return shape(peer, op, chunk).needers.has(peer); }
  bool needs_none(int peer, int op) const;

  // Holds, or has freed, all chunks that it needs; and if it needs none, knows it of the others.
  bool full(int peer, int op) const;
  // Number of leading ops that a peer no longer needs from anybody.
  uint8_t full_upto(int peer) const;
  // What an op depends on (Value::basis): lineages of the previous op's chunks, as a peer released
  // them, or the layout.
  uint8_t basis(int peer, int op) const;
  // No live member waits for anything: faults from here on are of no interest.
  bool quiet() const;

 private:
  const Config& config_;
  const State& state_;
};

}  // namespace rhz::model
