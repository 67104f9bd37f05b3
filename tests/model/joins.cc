// Moves by which peers join.
#include <algorithm>

#include "tests/model/explorer.h"

namespace rhz::model {

void Explorer::joins() {
  switch (config_.join) {
    case Join::kNobody: return;
    case Join::kByAdmitOp:
      if (!facts_.somebody_entered()) admit_round();
      return;
    case Join::kAnyTime:
      if (room_) admit_any_time();
      return;
    case Join::kByLog:
      if (facts_.admission() != nullptr) {
        admission();
        return;
      }
      for (int o = 0; o < config_.ops; o++) {
        if (facts_.is_admit(o)) admit_by_log(o);
      }
      return;
  }
}

// The admit round, or the record that nobody joined, once one member (admitall=1: every member) has
// begun the admit op.
void Explorer::admit_round() {
  PeerSet begun{};
  for (int p = 0; p < config_.peers; p++) {
    const Op& op = state_.peer[p].op[config_.admit_op];
    if (members_.has(p) && op.begun && !op.aborted) begun.add(p);
  }
  if (begun.empty() || facts_.decided(config_.admit_op)) return;
  if (config_.admit_waits_for_all && begun != members_) return;
  if (room_) admit_with_donors(begun);
  nobody_joined(begun, config_.admit_op);
}

// The joiners' state comes from a member that has begun the admit op.  Where that state is a result
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
    attempt_coordinator(
        {.action = Action::kEnter, .peer = to_byte(donor)}, kFault,
        [&](Coordinator& coordinator) { coordinator.admit(facts_.joiners(), donor); });
    if (!state_matters) break;
  }
}

void Explorer::nobody_joined(PeerSet begun, int admit_op) {
  if (!facts_.mutated(kNoneVolatile)) {
    findings_.mark(Mark::kNobodyJoined);
    attempt_coordinator({.action = Action::kNobodyJoined}, kProgress,
                        [&](Coordinator& coordinator) { coordinator.log_nobody_joined(admit_op); });
    return;
  }
  for (int p = 0; p < config_.peers; p++) {
    if (!begun.has(p) || state_.peer[p].op[admit_op].released) continue;
    attempt_member({.action = Action::kNobodyJoined, .peer = to_byte(p)}, kProgress,
                   [&](Member& member) { member.end_admit(admit_op); });
  }
}

void Explorer::admit_any_time() {
  for (int p = config_.founders(); p < config_.peers; p++) {
    if (facts_.entered(p) != 0) continue;
    findings_.mark(Mark::kAdmitRound);
    attempt_coordinator({.action = Action::kEnter}, kFault,
                        [&](Coordinator& coordinator) { coordinator.admit(PeerSet::of(p), -1); });
  }
}

// All members stand at the admit op: whoever is there may enter, and is there at any moment.
void Explorer::admit_by_log(int admit_op) {
  if (!resolved_ || facts_.decided(admit_op) || !facts_.all_stand(admit_op)) return;
  nobody_joined(members_, admit_op);
  const PeerSet all = facts_.may_be_admitted();
  if (all.empty() || !room_) return;
  findings_.mark(Mark::kAdmitRound);
  attempt_coordinator({.action = Action::kAdmit, .op = to_byte(admit_op)}, kFault,
                      [&](Coordinator& coordinator) { coordinator.log_admit(admit_op, all); });
}

// Each joiner syncs, or is given up; then the coordinator decides.
void Explorer::admission() {
  const LogRecord& admit = *facts_.admission();
  const int admit_op = admit.admit - 1;
  PeerSet known = state_.synced | state_.given_up;
  if (facts_.mutated(kEnterUnsynced)) known = admit.view;
  for (int p = config_.founders(); p < config_.peers; p++) {
    const Peer& peer = state_.peer[p];
    Step step{.peer = to_byte(p), .op = to_byte(admit_op)};
    if (!admit.view.has(p)) continue;
    if (peer.alive && !state_.synced.has(p) && facts_.donor_for(admit, p) >= 0) {
      step.action = Action::kSync;
      attempt_coordinator(step, kProgress, [&](Coordinator& c) { c.sync(p); });
    }
    if (peer.alive && state_.crashes < config_.max_crashes) {
      step.action = Action::kCrash;
      attempt(step, kFault, [&](State& next) {
        next.peer[p].alive = 0;
        next.crashes++;
      });
    }
    if (state_.given_up.has(p) || (!peer.alive && facts_.mutated(kWaitForDead))) continue;
    if (peer.alive && state_.suspicions >= config_.max_suspicions) continue;
    findings_.mark(Mark::kGivenUp);
    step.action = Action::kGiveUp;
    attempt_coordinator(step, peer.alive ? kFault : kProgress,
                        [&](Coordinator& c) { c.give_up(p); });
  }
  if (!resolved_ || !room_ || !known.contains(admit.view)) return;
  attempt_coordinator({.action = Action::kEnter, .op = to_byte(admit_op)}, kProgress,
                      [](Coordinator& coordinator) { coordinator.decide_admission(); });
}

}  // namespace rhz::model
