// The coordinator: a log of views and resolutions, and the volatile reports from which it makes the
// next resolution.
#pragma once

#include "tests/model/facts.h"
#include "tests/model/findings.h"

namespace rhz::model {

class Coordinator : public Facts {
 public:
  Coordinator(const Config& config, Findings& findings, State& state)
      : Facts(config, state), findings_(findings), state_(state) {}

  void take_report(int peer);  // SEALED of a member
  void resolve();
  void new_view(PeerSet members);

  // admission.cc
  // The view with these joiners.  They build on the state of `donor` (-1: they need none).
  void admit(PeerSet joiners, int donor);
  void log_admit(int admit_op, PeerSet joiners);
  void sync(int joiner);     // it has the logged state, and says so
  void give_up(int joiner);  // it is gone, late, or could not get the state
  void decide_admission();   // every joiner has synced, or is given up
  void log_nobody_joined(int admit_op);
  void log_bare_abort(int op);  // kAbortNoSeal
  void fail_over();
  void lose_tail();  // kLostTail

 private:
  PeerSet members_of(const LogRecord& record, int op) const;  // who takes part
  PeerSet reporters(const LogRecord& record, int op) const;
  OpSet take_fails(LogRecord& record);

  // admission.cc
  void set_first_ops(LogRecord& record);
  void set_admit_over(LogRecord& record);
  uint8_t first_op_of(const LogRecord& record, int joiner, int group) const;
  uint8_t behind_all_begun(const LogRecord& record, int joiner, int group) const;
  bool was_resolved(int joiner, int epoch) const;
  void take_in(int joiner);
  void copy_state(int from, int to, int admit_op);
  void check_membership(PeerSet members);
  void check_joiner_state(int joiner, const LogRecord& admit);

  // decisions.cc
  void decide(LogRecord& record, int op);
  bool ends_early(LogRecord& record, int op);
  bool layouts_mix(const LogRecord& record, int op) const;
  Decision decide_chunk(PeerSet reporters, int op, int chunk);
  Decision decide_missing(LogRecord& record, int op, int chunk);
  int speaker(int op) const;
  Shape shape_at(int op, int chunk) const;
  PeerSet begun_by(PeerSet reporters, int op) const;
  bool somebody(PeerSet reporters, int op, uint8_t Report::*says) const;
  bool held_by_all_needers(PeerSet reporters, int op) const;
  bool complete(const LogRecord& record, int op) const;
  bool may_abort(const LogRecord& record, int op) const;
  bool refuses_as_admit(const LogRecord& record, int op) const;
  void place_aborts(LogRecord& record, OpSet asked);

  void append(const LogRecord& record);
  void forget_reports();

  Findings& findings_;
  State& state_;
};

}  // namespace rhz::model
