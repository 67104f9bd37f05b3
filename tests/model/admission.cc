// Joins, at the coordinator: who may enter, with which state, and at which op everybody begins.
#include <algorithm>
#include <cstring>

#include "tests/model/coordinator.h"

namespace rhz::model {

// A joiner is sealed from its birth.
void Coordinator::take_in(int joiner) {
  Peer& peer = state_.peer[joiner];
  const int epoch = newest_epoch();
  if (config().join != Join::kByLog) peer.alive = 1;
  peer.epoch = to_byte(epoch - 1);
  peer.sealed = to_byte(epoch);
  peer.log_cursor = state_.log_size;
  peer.synced = 0;
}

void Coordinator::copy_state(int from, int to, int admit_op) {
  const int before = work_before(admit_op);
  if (before < 0) return;
  const Op& source = state_.peer[from].op[before];
  std::memcpy(state_.peer[to].op[before].output, source.output, sizeof source.output);
}

void Coordinator::admit(PeerSet joiners, int donor) {
  new_view(newest_view() | joiners);
  for (int p = config().founders(); p < config().peers; p++) {
    if (!joiners.has(p)) continue;
    take_in(p);
    if (donor >= 0) copy_state(donor, p, config().admit_op);
  }
}

// All members stand at that op: their states are the same.
void Coordinator::log_admit(int admit_op, PeerSet joiners) {
  LogRecord record{};
  record.type = RecordType::kAdmit;
  record.admit = to_byte(admit_op + 1);
  record.view = joiners;
  const PeerSet members = newest_view();
  for (int p = 0; p < config().peers; p++) {
    if (joiners.has(p) && !was_named(p)) state_.peer[p].alive = 1;
    if (members.has(p) && state_.peer[p].live()) record.state = state_before(p, admit_op);
  }
  append(record);
  if (!mutated(kOldSynced)) state_.synced = {};
  state_.given_up = {};
}

void Coordinator::sync(int joiner) {
  const LogRecord& admit = *admission();
  Peer& peer = state_.peer[joiner];
  if (peer.synced != admit.admit) copy_state(donor_for(admit, joiner), joiner, admit.admit - 1);
  peer.synced = admit.admit;
  state_.synced.add(joiner);
}

void Coordinator::give_up(int joiner) {
  state_.given_up.add(joiner);
  if (state_.peer[joiner].alive) state_.suspicions++;
}

void Coordinator::decide_admission() {
  const LogRecord admit = *admission();
  PeerSet ready = admit.view & state_.synced;
  if (mutated(kEnterUnsynced)) ready = admit.view;
  for (int p = config().founders(); p < config().peers; p++) {
    if (state_.given_up.has(p) && !mutated(kLateSynced)) ready.remove(p);
    if (ready.has(p) && state_.peer[p].alive) check_joiner_state(p, admit);
  }
  state_.synced = mutated(kOldSynced) ? state_.synced : PeerSet{};
  state_.given_up = {};
  if (ready.empty()) {
    if (!is_over(admit.admit - 1)) log_nobody_joined(admit.admit - 1);
    return;
  }
  findings_.mark(Mark::kSomeEntered, ready != admit.view);
  findings_.mark(Mark::kSeveralEntered, ready.size() > 1);
  new_view(newest_view() | ready);
  for (int p = config().founders(); p < config().peers; p++) {
    if (ready.has(p)) take_in(p);
  }
}

void Coordinator::log_nobody_joined(int admit_op) {
  LogRecord record{};
  record.type = RecordType::kNobodyJoined;
  record.admit = to_byte(admit_op + 1);
  append(record);
}

// R2: only the logged state lets a joiner in, and it is that of the members.
void Coordinator::check_joiner_state(int joiner, const LogRecord& admit) {
  const int op = admit.admit - 1;
  const bool has_it =
      state_.peer[joiner].synced == admit.admit && state_before(joiner, op) == admit.state;
  if (!has_it) findings_.violate("R2 a joiner enters without the logged state");
  for (int p = 0; p < config().peers; p++) {
    const bool member = newest_view().has(p) && state_.peer[p].live();
    if (member && state_before(p, op) != admit.state) {
      findings_.violate("R2 a joiner enters with another state than a member");
    }
  }
}

// V2, and who is in a view when: founders, and behind them only those whom a log record let in.
void Coordinator::check_membership(PeerSet members) {
  const PeerSet before = newest_view();
  for (int p = 0; p < config().peers; p++) {
    if (!members.has(p) || before.has(p)) continue;
    if (entered(p) != 0) findings_.violate("V2 a peer id enters again");
    const LogRecord* admit = config().join == Join::kByLog ? admission() : nullptr;
    const bool named = admit != nullptr && admit->view.has(p);
    if (config().join == Join::kByLog && !named) {
      findings_.violate("R2 a joiner enters that no record has let in");
    }
  }
}

// Where do joiners begin?  Behind the admit op, or behind all that anybody has begun; and an op
// that let somebody in is over with the first RESOLVE, even if they are gone again.
void Coordinator::set_first_ops(LogRecord& record) {
  for (int p = config().founders(); p < config().peers; p++) {
    for (int g = 0; g < config().groups; g++) record.first_op[g][p] = first_op_of(record, p, g);
  }
  if (config().by_admit_op()) set_admit_over(record);
}

void Coordinator::set_admit_over(LogRecord& record) {
  const bool lost = mutated(kAdmitLost) && (record.view & joiners()).empty();
  if (lost) return;
  for (int p = config().founders(); p < config().peers; p++) {
    if (entered(p) == 0) continue;
    const LogRecord* admit = admitted(p);
    const uint8_t over = admit != nullptr ? admit->admit : to_byte(config().admit_op + 1);
    record.admit = std::max(record.admit, over);
  }
}

uint8_t Coordinator::first_op_of(const LogRecord& record, int p, int group) const {
  const int epoch = entered(p);
  const uint8_t none = to_byte(config().ops);
  if (epoch == 0) return none;
  for (int e = epoch; e < record.epoch; e++) {
    if (const LogRecord* earlier = resolution(e)) return earlier->first_op[group][p];
  }
  const bool by_root = group == 0 || mutated(kFirstOpOfRoot);
  if (!config().by_admit_op() || !by_root) return behind_all_begun(record, p, group);
  if (mutated(kFirstOpVolatile) && state_.failovers > 0) return 0;
  const PeerSet together = record.view & joiners() & PeerSet::from(p + 1);
  if (mutated(kFirstOpOfOne) && !together.empty()) return 0;
  const LogRecord* admit = admitted(p);
  return admit != nullptr ? admit->admit : to_byte(config().admit_op + 1);
}

// A RESOLVE before this epoch had it as a member.
bool Coordinator::was_resolved(int joiner, int epoch) const {
  for (int e = 1; e < epoch; e++) {
    if (view(e).has(joiner) && resolution(e) != nullptr) return true;
  }
  return false;
}

uint8_t Coordinator::behind_all_begun(const LogRecord& record, int joiner, int group) const {
  const uint8_t none = to_byte(config().ops);
  if (!record.view.has(joiner)) return none;
  bool reported = false;
  int first = group;
  for (int p = 0; p < config().peers; p++) {
    const bool newcomer = joins(p) && !was_resolved(p, record.epoch);
    if (newcomer || !(state_.reported & record.view).has(p)) continue;
    reported = true;
    for (int o = group; o < config().ops; o += config().groups) {
      const Report& report = state_.report[p][o];
      if (report.begun || report.aborted) first = std::max(first, o + 1);
    }
    if (mutated(kFirstOfOne)) break;
  }
  // Joiners alone know nothing of older ops: they get none.
  return reported ? to_byte(first) : none;
}

}  // namespace rhz::model
