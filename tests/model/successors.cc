#include "tests/model/successors.h"

#include <algorithm>

#include "tests/model/explorer.h"
#include "tests/model/guards.h"

namespace rhz::model {

void Explorer::run() {
  deliveries();
  peer_moves();
  if (facts_.quiet()) return;
  if (!resolved_) resolution();
  deaths();
  fails();
  joins();
  if (state_.failovers < config_.max_failovers) fail_over();
}

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
    if (!peer.live() || peer.epoch == 0) continue;  // 0: a joiner that is no member yet
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
    findings_.mark(Mark::kJoinerLostInRound, facts_.joins(p) && !resolved_);
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

void Explorer::fail_over() {
  attempt_coordinator({.action = Action::kFailOver}, kFault,
                      [](Coordinator& coordinator) { coordinator.fail_over(); });
  if (!facts_.mutated(kLostTail) || state_.log_size <= 2) return;
  attempt_coordinator({.action = Action::kLoseTail}, kFault, [](Coordinator& coordinator) {
    coordinator.fail_over();
    coordinator.lose_tail();
  });
}

void successors(const Config& config, Findings& findings, const State& state,
                std::vector<Successor>& out) {
  Explorer(config, findings, state, out).run();
}

}  // namespace rhz::model
