// One move of one peer, applied to the state in place: the handlers of docs/protocol.md, with every
// rule that a mutant can switch off.  The caller has checked that the move is possible (guards.h).
#pragma once

#include "tests/model/facts.h"
#include "tests/model/findings.h"

namespace rhz::model {

class Member : public Facts {
 public:
  Member(const Config& config, Findings& findings, State& state, int self)
      : Facts(config, state), findings_(findings), state_(state), self_(self) {}

  // install.cc: what the application and the log make a peer do.
  void begin(int op);
  void observe();  // the next record of the log

  // data_path.cc
  void start(int op);  // acts on the decisions of the installed epoch for one op
  void deliver(int message_index);

  // release.cc
  void release(int op);
  void release_at_send(int op);  // kReleaseAtSend
  void forget(int op);           // the wave is known: release if not done yet, free everything
  void end_by_abort(int op);
  void end_admit(int op);
  void on_progress(int op);  // a chunk became full
  void learn(int op);        // all who need a chunk hold it: told to a peer that needs none

 private:
  // Hops until the value of one chunk is made; the last one is the single finaliser.
  struct Path {
    uint8_t hop[kMaxPeers];
    int length = 0;
    int position_of(int peer) const;
    Path rotated(int start) const;
  };

  void observe_view(const LogRecord& record);
  void install(const LogRecord& record);
  void check_newcomers(const LogRecord& record);
  void install_op(const LogRecord& record, int op);

  Path path(int epoch, int op, int chunk) const;
  Path resumed(const Path& whole, const Decision& decision) const;
  Path ending_at(const Path& ring, int op, int chunk) const;
  uint8_t next_in_ring(int op) const;
  PeerSet sources(int epoch, int op, int chunk) const;
  void start_chunk(int op, int chunk, const Decision& decision);
  void start_keep(int op, int chunk);
  void start_redo(int op, int chunk);
  void start_resume(int op, int chunk);
  void receive_partial(const Message& message);
  void receive_result(const Message& message);
  PeerSet own_input(int op, int chunk);
  void on_contributed(int op);
  void set_partial(int op, int chunk, const Value& value);
  uint8_t watermark_for(int op) const;
  void prove(int op, uint8_t watermark);
  void set_held(int op, int chunk, const Value& value);
  void send(const Message& message);
  void send_partial(int op, int chunk, uint8_t to, const Value& value);
  void start_gather(int op, int chunk);

  void announce_done(int op);
  void free_inputs(int op);
  void check_release(int op);
  void check_root(int op);
  void check_contributors(int op, int chunk);
  void check_same_results(int op);
  bool same_result(const Op& other, int op) const;
  void check_aborted(int op);

  Peer& me() { return state_.peer[self_]; }
  const Peer& me() const { return state_.peer[self_]; }
  Op& mine(int op) { return state_.peer[self_].op[op]; }
  const Op& mine(int op) const { return state_.peer[self_].op[op]; }

  Findings& findings_;
  State& state_;
  const int self_;
};

}  // namespace rhz::model
