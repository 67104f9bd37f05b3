#include "tests/model/successors.h"

#include <algorithm>

#include "tests/model/coordinator.h"
#include "tests/model/guards.h"
#include "tests/model/member.h"

namespace rhz::model {
namespace {

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

  void run() {
    deliveries();
    peer_moves();
    if (facts_.quiet()) return;
    if (!resolved_) resolution();
    deaths();
    fails();
    if (config_.join == Join::kByAdmitOp && facts_.joiner_epoch() == 0) admit_round();
    if (config_.join == Join::kAnyTime && facts_.joiner_epoch() == 0 && room_) admit_any_time();
    if (state_.failovers < config_.max_failovers) fail_over();
  }

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
  void admit_round();
  void admit_with_donors(PeerSet begun);
  void nobody_joined(PeerSet begun);
  void admit_any_time();
  void fail_over();
  bool logged(RecordType type) const;

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

void Explorer::deliveries() {
  for (int i = 0; i < state_.message_count; i++) {
    const Message& message = state_.message[i];
    if (must_wait(facts_, message)) {
      findings_.mark(Mark::kFrameHeld);
      continue;
    }
    const Step step{.action = Action::kDeliver,
                    .peer = message.source,
                    .to = message.destination,
                    .op = message.op,
                    .chunk = message.chunk,
                    .epoch = message.epoch,
                    .kind = message.kind};
    attempt_member(step, kProgress, [&](Member& member) { member.deliver(i); });
  }
}

void Explorer::peer_moves() {
  for (int p = 0; p < config_.peers; p++) {
    const Peer& peer = state_.peer[p];
    if (!peer.live()) continue;
    if (peer.log_cursor < state_.log_size) {
      const Step step{.action = Action::kObserve, .peer = to_byte(p), .index = peer.log_cursor};
      attempt_member(step, kProgress, [](Member& member) { member.observe(); });
    }
    for (int o = 0; o < config_.ops; o++) op_moves(p, o);
  }
}

void Explorer::op_moves(int p, int o) {
  Step step{.peer = to_byte(p), .op = to_byte(o)};
  if (may_begin(facts_, p, o)) {
    step.action = Action::kBegin;
    attempt_member(step, kProgress, [&](Member& member) { member.begin(o); });
  }
  const Proof proof = wave_proof(facts_, p, o);
  if (proof != Proof::kNone) {
    const bool later = state_.peer[p].epoch > 1;
    findings_.mark(Mark::kWaveByWatermark, proof == Proof::kWatermark);
    findings_.mark(Mark::kWatermarkInLaterEpoch, proof == Proof::kWatermark && later);
    findings_.mark(Mark::kWaveInLaterEpoch, later);
    findings_.mark(Mark::kWaveByEvicted, !members_.has(p));
    step.action = Action::kWave;
    attempt_member(step, kProgress, [&](Member& member) { member.forget(o); });
  }
  if (may_learn(facts_, p, o)) {
    findings_.mark(Mark::kLearned);
    step.action = Action::kLearn;
    attempt_member(step, kProgress, [&](Member& member) { member.learn(o); });
  }
  if (quorum_known(facts_, p, o)) {
    step.action = Action::kQuorum;
    attempt_member(step, kProgress, [&](Member& member) { member.release(o); });
  }
}

void Explorer::resolution() {
  for (int p = 0; p < config_.peers; p++) {
    const Peer& peer = state_.peer[p];
    const bool asked = members_.has(p) && !state_.reported.has(p);
    if (!asked || peer.sealed != epoch_ || peer.evicted) continue;
    findings_.mark(Mark::kReportedAgain, state_.failovers > 0);
    attempt_coordinator({.action = Action::kReport, .peer = to_byte(p)}, kProgress,
                        [&](Coordinator& coordinator) { coordinator.take_report(p); });
  }
  const bool miss_one = facts_.mutated(kMissReport) || facts_.mutated(kMissAndKeep) ||
                        facts_.mutated(kOldDoneAndMiss);
  const int needed = miss_one ? std::max(1, members_.size() - 1) : members_.size();
  if (members_.empty() || (state_.reported & members_).size() < needed) return;
  attempt_coordinator({.action = Action::kResolve, .epoch = to_byte(epoch_)}, kProgress,
                      [](Coordinator& coordinator) { coordinator.resolve(); });
}

void Explorer::deaths() {
  for (int p = 0; p < config_.peers; p++) {
    if (!members_.has(p) || state_.peer[p].alive || !room_) continue;
    findings_.mark(Mark::kJoinerLostInRound, p == facts_.joiner() && !resolved_);
    attempt_coordinator(
        {.action = Action::kDetect, .peer = to_byte(p)}, kProgress,
        [&](Coordinator& coordinator) { coordinator.new_view(members_.without(p)); });
  }
  for (int p = 0; p < config_.peers; p++) {
    if (!members_.has(p) || !state_.peer[p].alive) continue;
    if (state_.crashes < config_.max_crashes && !state_.peer[p].evicted) {
      attempt({.action = Action::kCrash, .peer = to_byte(p)}, kFault, [&](State& next) {
        next.peer[p].alive = 0;
        next.crashes++;
      });
    }
    if (state_.suspicions < config_.max_suspicions && members_.size() > 1 && room_) {
      attempt({.action = Action::kSuspect, .peer = to_byte(p)}, kFault, [&](State& next) {
        Coordinator(config_, findings_, next).new_view(members_.without(p));
        next.suspicions++;
      });
    }
  }
}

// FAIL, and the seal with unchanged members that answers it.
void Explorer::fails() {
  bool raised = !state_.told.empty();
  for (int p = 0; p < config_.peers; p++) {
    if (!members_.has(p) || !state_.peer[p].live()) continue;
    for (int o = 0; o < config_.ops; o++) {
      raised |= state_.peer[p].op[o].failing && !facts_.mutated(kFailVolatile);
      fail(p, o);
    }
  }
  if (!raised || !resolved_ || !room_ || facts_.mutated(kAbortNoSeal)) return;
  attempt_coordinator({.action = Action::kSealForFail}, kProgress,
                      [&](Coordinator& coordinator) { coordinator.new_view(members_); });
}

void Explorer::fail(int p, int o) {
  const Op& op = state_.peer[p].op[o];
  Step step{.action = Action::kFail, .peer = to_byte(p), .op = to_byte(o)};
  const bool may_fail = !facts_.is_admit(o) && op.begun && !op.ended() && !op.failing;
  if (may_fail && state_.fails < config_.max_fails) {
    attempt(step, kFault, [&](State& next) {
      next.fails++;
      next.peer[p].op[o].failing = 1;
      if (facts_.mutated(kAbortLocal)) Member(config_, findings_, next, p).end_by_abort(o);
    });
  }
  if (facts_.mutated(kFailVolatile) && op.failing == 1) {
    step.action = Action::kTellFail;
    attempt(step, kProgress, [&](State& next) {
      next.peer[p].op[o].failing = 2;
      next.told.add(o);
    });
  }
  if (facts_.mutated(kAbortNoSeal) && op.failing && resolved_) {
    for (int i = 0; i < state_.log_size; i++) {
      if (state_.log[i].aborts.has(o)) return;
    }
    attempt_coordinator({.action = Action::kResolve, .epoch = to_byte(epoch_)}, kProgress,
                        [&](Coordinator& coordinator) { coordinator.log_bare_abort(o); });
  }
}

// The admit round, or the record that nobody joined, once one member (admitall=1: every member) has
// begun the admit op.
void Explorer::admit_round() {
  PeerSet begun{};
  for (int p = 0; p < config_.peers; p++) {
    if (members_.has(p) && state_.peer[p].op[config_.admit_op].begun) begun.add(p);
  }
  if (begun.empty() || logged(RecordType::kNobodyJoined)) return;
  if (config_.admit_waits_for_all && begun != members_) return;
  if (room_) admit_with_donors(begun);
  nobody_joined(begun);
}

// The joiner's state comes from a member that has begun the admit op.  Where that state is a result
// (sequential ops), every such member is tried; and under rule b its wave must be known, unless
// everybody has begun the admit op.
void Explorer::admit_with_donors(PeerSet begun) {
  const int admit_op = config_.admit_op;
  const bool state_matters = config_.order == Order::kSequential && admit_op > 0;
  const bool wave_needed = state_matters && config_.rule == Rule::kRetain &&
                           !config_.admit_waits_for_all && !facts_.mutated(kSyncUnstable);
  for (int donor = 0; donor < config_.peers; donor++) {
    if (!begun.has(donor)) continue;
    const Op* op = state_.peer[donor].op;
    if (wave_needed && !op[admit_op - 1].freed && !op[admit_op - 1].aborted) continue;
    findings_.mark(Mark::kAdmitRound);
    findings_.mark(Mark::kAdmitOverOpenOps,
                   std::any_of(op, op + admit_op, [](const Op& older) { return !older.freed; }));
    attempt_coordinator({.action = Action::kAdmit, .peer = to_byte(donor)}, kFault,
                        [&](Coordinator& coordinator) { coordinator.admit(donor); });
    if (!state_matters) break;
  }
}

void Explorer::nobody_joined(PeerSet begun) {
  if (!facts_.mutated(kNoneVolatile)) {
    findings_.mark(Mark::kNobodyJoined);
    attempt_coordinator({.action = Action::kNobodyJoined}, kProgress,
                        [](Coordinator& coordinator) { coordinator.log_nobody_joined(); });
    return;
  }
  for (int p = 0; p < config_.peers; p++) {
    if (!begun.has(p) || state_.peer[p].op[config_.admit_op].released) continue;
    attempt_member({.action = Action::kNobodyJoined, .peer = to_byte(p)}, kProgress,
                   [](Member& member) { member.end_admit(); });
  }
}

void Explorer::admit_any_time() {
  findings_.mark(Mark::kAdmitRound);
  attempt_coordinator({.action = Action::kAdmit}, kFault,
                      [](Coordinator& coordinator) { coordinator.admit(-1); });
}

void Explorer::fail_over() {
  attempt_coordinator({.action = Action::kFailOver}, kFault,
                      [](Coordinator& coordinator) { coordinator.fail_over(); });
  if (!facts_.mutated(kLostTail) || state_.log_size <= 2) return;
  attempt_coordinator({.action = Action::kLoseTail}, kFault, [](Coordinator& coordinator) {
    coordinator.fail_over();
    coordinator.lose_tail();
  });
}

bool Explorer::logged(RecordType type) const {
  return std::any_of(state_.log, state_.log + state_.log_size,
                     [&](const LogRecord& record) { return record.type == type; });
}

}  // namespace

void successors(const Config& config, Findings& findings, const State& state,
                std::vector<Successor>& out) {
  Explorer(config, findings, state, out).run();
}

}  // namespace rhz::model
