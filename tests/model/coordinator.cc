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

void Coordinator::decide(LogRecord& record, int o) {
  const PeerSet from = reporters(record, o);
  for (int p = 0; p < config().peers; p++) {
    if (from.has(p) && state_.report[p][o].freed && !mutated(kNoFinal)) record.final.add(o);
  }
  if (!begun_by(from, o).empty()) record.open.add(o);
  if (config().kind != Kind::kAllReduce && ends_early(record, o)) return;
  if (record.final.has(o) || !record.open.has(o)) return;
  Decision(&decision)[kMaxChunks] = record.decision[o];
  bool all_kept_alike = true;
  for (int c = 0; c < config().chunks; c++) {
    decision[c] = decide_chunk(from, o, c);
    const Decision& kept = *std::find_if(
        decision, decision + c, [](const Decision& other) { return other.kind == Decide::kKeep; });
    if (decision[c].kind == Decide::kDrop) continue;
    all_kept_alike &=
        decision[c].kind == Decide::kKeep && decision[c].contributors == kept.contributors;
  }
  const bool one_source = has_one_source(config().kind);
  for (int c = 0; c < config().chunks; c++) {
    const bool redo = decision[c].kind == Decide::kRedo;
    if (one_source && redo && record.open.has(o)) decision[c] = decide_missing(record, o, c);
    const bool again = config().mode == Mode::kStrict && !all_kept_alike && !one_source;
    if (again && decision[c].kind != Decide::kDrop) decision[c] = {};
  }
}

// The first report of an op that has begun says what it is.
int Coordinator::speaker(int o) const {
  for (int p = 0; p < config().peers; p++) {
    if (state_.report[p][o].begun) return p;
  }
  return 0;
}

Shape Coordinator::shape_at(int o, int c) const {
  const int p = speaker(o);
  const Report& report = state_.report[p][o];
  const PeerSet layout = report.begun ? report.layout : newest_view();
  return shape_of(config(), layout, root_of(p), c);
}

PeerSet Coordinator::begun_by(PeerSet from, int o) const {
  PeerSet begun{};
  for (int p = 0; p < config().peers; p++) {
    if (from.has(p) && state_.report[p][o].begun) begun.add(p);
  }
  return begun;
}

bool Coordinator::somebody(PeerSet from, int o, uint8_t Report::*says) const {
  for (int p = 0; p < config().peers; p++) {
    if (from.has(p) && state_.report[p][o].*says != 0) return true;
  }
  return false;
}

// FINAL or ABORT, whatever the chunks are.
bool Coordinator::ends_early(LogRecord& record, int o) {
  const PeerSet from = reporters(record, o);
  const bool open = record.open.has(o);
  const bool root_dead = has_root(config().kind) && !record.view.has(root_of(speaker(o)));
  findings_.mark(Mark::kRootDead, root_dead && open);
  if (mutated(kDeadRootAborts) && root_dead && open) {
    record.final.remove(o);
    record.aborts.add(o);
    return true;
  }
  if (record.final.has(o)) return true;
  if (config().all_are_roots() && begun_by(from, o).size() > 1) {
    record.aborts.add(o);
    return true;
  }
  if (ends_at_root(config().kind) && root_dead && open) {
    const bool known = somebody(from, o, &Report::full);
    findings_.mark(Mark::kRootDeadButFull, known);
    (known ? record.final : record.aborts).add(o);
    return true;
  }
  if (!open || !layouts_mix(record, o) || mutated(kMixedLayouts)) return false;
  findings_.mark(Mark::kMixedLayouts);
  record.aborts.add(o);
  return true;
}

// Somebody has begun it with a rank that is dead, and somebody will begin it without.
bool Coordinator::layouts_mix(const LogRecord& record, int o) const {
  const PeerSet from = reporters(record, o);
  const bool rank_dead = !record.view.contains(state_.report[speaker(o)][o].layout);
  return rank_dead && begun_by(from, o) != from;
}

// A chunk with one source that nobody holds.
Decision Coordinator::decide_missing(LogRecord& record, int o, int c) {
  const Shape shape = shape_at(o, c);
  if (!(shape.sources & record.view).empty() || mutated(kMissingIsRedone)) return {};
  findings_.mark(Mark::kMissing);
  if (config().mode != Mode::kStrict && !begins_at_root(config().kind)) {
    return {Decide::kEmpty, 0, {}, 0};
  }
  record.aborts.add(o);
  return {};
}

Decision Coordinator::decide_chunk(PeerSet from, int o, int c) {
  Decision decision{};
  const Shape shape = shape_at(o, c);
  const bool needed = !(shape.needers & from).empty() || mutated(kDeadNeederCounts);
  if (!needed) return {Decide::kDrop, 0, {}, 0};
  const bool source_dead = has_one_source(config().kind) && (shape.sources & from).empty();
  if (mutated(kEmptyOverHeld) && source_dead) return decision;
  for (int p = 0; p < config().peers; p++) {
    const Value& held = state_.report[p][o].chunk[c].held;
    if (!from.has(p) || !held.present()) continue;
    if (decision.kind != Decide::kKeep) {
      decision = {Decide::kKeep, held.lineage, held.contributors, to_byte(p)};
    } else if (decision.lineage != held.lineage || decision.contributors != held.contributors) {
      findings_.violate("L1 two lineages among the reports");
    }
  }
  if (decision.kind == Decide::kKeep || config().mode != Mode::kInclude) return decision;
  for (int p = 0; p < config().peers; p++) {
    const PeerSet partial = state_.report[p][o].chunk[c].partial;
    if (!from.has(p) || partial.size() <= decision.contributors.size()) continue;
    decision = {Decide::kResume, 0, partial, to_byte(p)};
  }
  return decision;
}

bool Coordinator::may_abort(const LogRecord& record, int o) const {
  if (config().abort_unless == AbortUnless::kNothing) return true;
  if (record.final.has(o)) return false;
  if (config().kind != Kind::kAllReduce) return !complete(record, o);
  bool all_kept = true;
  bool one_full = false;
  bool all_full = true;
  for (int c = 0; c < config().chunks; c++) {
    all_kept &= record.decision[o][c].kind == Decide::kKeep;
  }
  const PeerSet from = reporters(record, o);
  for (int p = 0; p < config().peers; p++) {
    if (!from.has(p)) continue;
    bool holds_all = true;
    for (int c = 0; c < config().chunks; c++) {
      holds_all &= state_.report[p][o].chunk[c].held.present();
    }
    one_full |= holds_all;
    all_full &= holds_all;
  }
  switch (config().abort_unless) {
    case AbortUnless::kAllKept: return !all_kept;
    case AbortUnless::kOneFull: return !one_full;
    case AbortUnless::kAllFull: return !all_full;
    case AbortUnless::kFreed:
    case AbortUnless::kNothing: return true;
  }
  return true;
}

bool Coordinator::held_by_all_needers(PeerSet from, int o) const {
  for (int c = 0; c < config().chunks; c++) {
    const PeerSet needers = shape_at(o, c).needers & from;
    for (int p = 0; p < config().peers; p++) {
      if (needers.has(p) && !state_.report[p][o].chunk[c].held.present()) return false;
    }
  }
  return true;
}

// Nothing is left to be moved, or somebody may have released.
bool Coordinator::complete(const LogRecord& record, int o) const {
  if (config().all_are_roots()) return false;
  const PeerSet from = reporters(record, o);
  if (mutated(kSourceRefuses)) {
    const Decision* decision = record.decision[o];
    return std::all_of(decision, decision + config().chunks,
                       [](const Decision& d) { return d.kind != Decide::kRedo; });
  }
  if (full_is_complete(config().kind) && somebody(from, o, &Report::full)) return true;
  return record.open.has(o) && held_by_all_needers(from, o);
}

// A FAIL that is refused goes to the first later op of its group, begun or not, that may be
// aborted.
void Coordinator::place_aborts(LogRecord& record, OpSet asked) {
  for (int o = 0; o < config().ops; o++) {
    if (!asked.has(o)) continue;
    int at = o;
    while (at < config().ops &&
           (is_admit(at) || (!record.aborts.has(at) && !may_abort(record, at)))) {
      findings_.mark(Mark::kAbortRefused);
      at += config().groups;
    }
    if (at >= config().ops) continue;
    findings_.mark(Mark::kLaterOpAborted, at > o);
    record.aborts.add(at);
    record.final.remove(at);
  }
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
