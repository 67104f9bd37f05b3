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
  set_first_ops(record);
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

// Who has reported and takes part in an op.
PeerSet Coordinator::reporters(const LogRecord& record, int o) const {
  return state_.reported & members_of(record, o);
}

PeerSet Coordinator::members_of(const LogRecord& record, int o) const {
  PeerSet members = record.view & group_of(o);
  for (int p = config().founders(); p < config().peers; p++) {
    if (o < record.first_op[group_number(o)][p]) members.remove(p);
  }
  return members;
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
      record.answered[o] = members_of(record, o);
    }
  }
  return asked;
}

void Coordinator::new_view(PeerSet members) {
  LogRecord record{};
  record.type = RecordType::kView;
  record.epoch = to_byte(newest_epoch() + 1);
  record.view = members;
  check_membership(members);
  append(record);
  forget_reports();
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
  state_.synced = {};
  state_.given_up = {};
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
