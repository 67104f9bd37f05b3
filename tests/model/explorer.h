// The moves that are possible in one state (successors.h), by who makes them.
#pragma once

#include <vector>

#include "tests/model/coordinator.h"
#include "tests/model/member.h"
#include "tests/model/successors.h"

namespace rhz::model {

class Explorer {
 public:
  Explorer(const Config& config, Findings& findings, const State& state,
           std::vector<Successor>& out)
      : config_(config),
        findings_(findings),
        state_(state),
        facts_(config, state),
        epoch_(facts_.newest_epoch()),
        members_(facts_.view(epoch_)),
        resolved_(facts_.resolution(epoch_) != nullptr),
        room_(epoch_ < kMaxEpochs - 1),
        out_(out) {}

  void run();

 private:
  enum Kind { kProgress, kFault };

  // Applies a move to a copy of the state, unless a violation was found before.
  template <class Move>
  void attempt(const Step& step, Kind kind, Move move) {
    if (findings_.violation != nullptr) return;
    out_.push_back({step, kind == kFault, state_});
    move(out_.back().state);
  }
  template <class Move>
  void attempt_member(const Step& step, Kind kind, Move move) {
    attempt(step, kind, [&](State& next) {
      const int self = step.action == Action::kDeliver ? step.to : step.peer;
      Member member(config_, findings_, next, self);
      move(member);
    });
  }
  template <class Move>
  void attempt_coordinator(const Step& step, Kind kind, Move move) {
    attempt(step, kind, [&](State& next) {
      Coordinator coordinator(config_, findings_, next);
      move(coordinator);
    });
  }

  void deliveries();
  void peer_moves();
  void op_moves(int peer, int op);
  void resolution();
  void deaths();
  void fails();
  void fail(int peer, int op);
  // joins.cc
  void joins();
  void admit_round();
  void admit_with_donors(PeerSet begun);
  void nobody_joined(PeerSet begun, int admit_op);
  void admit_any_time();
  void admit_by_log(int admit_op);
  void admission();
  void fail_over();

  const Config& config_;
  Findings& findings_;
  const State& state_;
  const Facts facts_;
  const int epoch_;
  const PeerSet members_;
  const bool resolved_;
  const bool room_;  // another epoch fits
  std::vector<Successor>& out_;
};

}  // namespace rhz::model
