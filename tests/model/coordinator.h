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
  // The joiner's view.  It builds on the state of `donor` (-1: it needs none).
  void admit(int donor);
  void log_nobody_joined();
  void log_bare_abort(int op);  // kAbortNoSeal
  void fail_over();
  void lose_tail();  // kLostTail

 private:
  PeerSet reporters(const LogRecord& record, int op) const;
  void set_first_op(LogRecord& record);
  OpSet take_fails(LogRecord& record);

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
  void place_aborts(LogRecord& record, OpSet asked);

  void append(const LogRecord& record);
  void forget_reports();

  Findings& findings_;
  State& state_;
};

}  // namespace rhz::model
