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
  bool joins(int peer) const { return config_.joins(peer); }
  PeerSet joiners() const {
    return PeerSet::all_below(config_.peers) & PeerSet::from(config_.founders());
  }
  bool is_admit(int op) const { return config_.is_admit(op); }

  // The log.
  int newest_epoch() const;
  PeerSet view(int epoch) const;
  PeerSet newest_view() const { return view(newest_epoch()); }
  const LogRecord* resolution(int epoch) const;  // null: not resolved

  // Joins.
  int entered(int peer) const;  // epoch of the first view with it; 0: none
  bool somebody_entered() const;
  PeerSet may_be_admitted() const;            // joiners that are there, and never were members
  bool was_named(int peer) const;             // by an ADMIT
  const LogRecord* admission() const;         // ADMIT whose joiners are awaited; null: none
  const LogRecord* admitted(int peer) const;  // ADMIT by which it entered last
  bool decided(int admit_op) const;           // the log says what becomes of it
  bool is_over(int admit_op) const;           // nobody joined by it
  bool stands(int peer, int admit_op) const;  // has begun it, and all older ops are over
  bool all_stand(int admit_op) const;
  int donor_for(const LogRecord& admit, int joiner) const;  // who has the logged state; -1: nobody

  // First op of a group in which a peer takes part, as the resolution of an epoch says.
  int first_op(int peer, int epoch, int group) const;
  bool takes_part(int peer, int epoch, int op) const;
  // In the epoch of a resolution up to this one: sums may have its contribution.
  bool ever_took_part(int peer, int epoch, int op) const;
  // Groups.
  PeerSet group_of(int op) const;
  int group_number(int op) const { return op % config_.groups; }
  int previous(int op) const;                    // the op before it in its group; < 0: none
  int work_before(int op) const;                 // and not an admit op
  uint8_t state_before(int peer, int op) const;  // what that one's results are made of, in order
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
  uint8_t full_upto(int peer, int group) const;
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
