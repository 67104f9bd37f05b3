#include "tests/model/coordinator.h"

#include <algorithm>
#include <cstring>

namespace rhz::model {

void Coordinator::take_report(int p) {
  state_.reported.add(p);
  for (int o = 0; o < config().ops; o++) {
    const Op& op = state_.peer[p].op[o];
    Report& report = state_.report[p][o];
    report.begun = op.begun;
    report.freed = op.freed;
    report.aborted = op.aborted;
    if (!mutated(kFailVolatile)) report.failing = op.failing;
    report.full = full(p, o) && !mutated(kFullUnreported) ? 1 : 0;
    report.layout = op.layout;
    std::memcpy(report.chunk, op.chunk, sizeof report.chunk);
    if (mutated(kNoRetain) && op.released) report = {};
  }
}

void Coordinator::resolve() {
  LogRecord record{};
  record.type = RecordType::kResolve;
  record.epoch = to_byte(newest_epoch());
  record.view = newest_view();
  set_first_op(record);
  if (!mutated(kAbortOnce)) {
    for (int i = 0; i < state_.log_size; i++) record.aborts |= state_.log[i].aborts;
  }
  OpSet asked = take_fails(record);
  for (int o = 0; o < config().ops; o++) {
    if (!is_admit(o) && !record.aborts.has(o)) decide(record, o);
  }
  if (config().min_world > record.view.size()) asked = OpSet::all_below(config().ops);
  place_aborts(record, asked);
  append(record);
  forget_reports();
  state_.told = {};
}

// When does the joiner begin?  join=1: behind the admit op.  join=2: behind all that anybody has
// begun.
void Coordinator::set_first_op(LogRecord& record) {
  if (config().join == Join::kNobody) return;
  const int entered = joiner_epoch();
  const bool in_view = record.view.has(joiner());
  record.first_op = to_byte(config().ops);
  if (config().join == Join::kByAdmitOp) {
    if (entered == 0) return;
    record.first_op = to_byte(config().admit_op + 1);
    record.admit_over = in_view || !mutated(kAdmitLost) ? 1 : 0;
    return;
  }
  if (!in_view) return;
  for (int epoch = entered; epoch < record.epoch; epoch++) {
    if (const LogRecord* earlier = resolution(epoch)) {
      record.first_op = earlier->first_op;
      return;
    }
  }
  const PeerSet others = (state_.reported & record.view).without(joiner());
  if (others.empty()) return;  // a joiner alone knows nothing of older ops: it gets none
  int first = 0;
  for (int p = 0; p < joiner(); p++) {
    if (!others.has(p)) continue;
    for (int o = 0; o < config().ops; o++) {
      const Report& report = state_.report[p][o];
      if (report.begun || report.aborted) first = std::max(first, o + 1);
    }
    if (mutated(kFirstOfOne)) break;
  }
  record.first_op = to_byte(first);
}

// Who has reported and takes part in an op.
PeerSet Coordinator::reporters(const LogRecord& record, int o) const {
  const PeerSet all = state_.reported & record.view & group_of(o);
  return joiner() >= 0 && o < record.first_op ? all.without(joiner()) : all;
}

// Ops for which this resolution answers a FAIL, and whose.
OpSet Coordinator::take_fails(LogRecord& record) {
  OpSet asked{};
  for (int o = 0; o < config().ops; o++) {
    if (is_admit(o)) continue;
    const PeerSet from = reporters(record, o);
    for (int p = 0; p < config().peers; p++) {
      if (!from.has(p) || !state_.report[p][o].failing) continue;
      asked.add(o);
      record.answered[o].add(p);
    }
    if (state_.told.has(o)) {
      asked.add(o);
      const bool without_joiner = joiner() >= 0 && o < record.first_op;
      record.answered[o] = without_joiner ? record.view.without(joiner()) : record.view;
    }
  }
  return asked;
}

void Coordinator::new_view(PeerSet members) {
  LogRecord record{};
  record.type = RecordType::kView;
  record.epoch = to_byte(newest_epoch() + 1);
  record.view = members;
  append(record);
  forget_reports();
}

// The joiner is sealed from its birth.
void Coordinator::admit(int donor) {
  Peer& peer = state_.peer[joiner()];
  const int before = newest_epoch();
  new_view(newest_view().with(joiner()));
  peer.alive = 1;
  peer.epoch = to_byte(before);
  peer.sealed = to_byte(before + 1);
  peer.log_cursor = state_.log_size;
  if (donor >= 0 && config().admit_op > 0) {
    Op& synced = peer.op[config().admit_op - 1];
    const Op& source = state_.peer[donor].op[config().admit_op - 1];
    std::memcpy(synced.output, source.output, sizeof synced.output);
  }
}

void Coordinator::log_nobody_joined() {
  LogRecord record{};
  record.type = RecordType::kNobodyJoined;
  append(record);
}

void Coordinator::log_bare_abort(int o) {
  LogRecord record = *resolution(newest_epoch());
  record.aborts.add(o);
  record.answered[o] = newest_view();
  append(record);
}

void Coordinator::fail_over() {
  state_.failovers++;
  forget_reports();
  state_.told = {};
}

void Coordinator::lose_tail() {
  state_.log[--state_.log_size] = {};
  for (int p = 0; p < config().peers; p++) {
    Peer& peer = state_.peer[p];
    peer.log_cursor = std::min(peer.log_cursor, state_.log_size);
  }
}

void Coordinator::append(const LogRecord& record) {
  if (state_.log_size == kMaxLog) out_of_room("kMaxLog");
  state_.log[state_.log_size++] = record;
}

void Coordinator::forget_reports() {
  state_.reported = {};
  std::memset(state_.report, 0, sizeof state_.report);
}

}  // namespace rhz::model
