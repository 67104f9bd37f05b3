// What becomes of each op, from the reports of all members: the table in docs/protocol.md.
#include <algorithm>

#include "tests/model/coordinator.h"

namespace rhz::model {

void Coordinator::decide(LogRecord& record, int o) {
  const PeerSet from = reporters(record, o);
  for (int p = 0; p < config().peers; p++) {
    if (from.has(p) && state_.report[p][o].freed && !mutated(kNoFinal)) record.final.add(o);
  }
  const bool open = !begun_by(from, o).empty();
  if (open && has_root(config().kind)) record.open.add(o);
  if (config().kind != Kind::kAllReduce && ends_early(record, o)) return;
  if (record.final.has(o) || !open) return;
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
    if (one_source && redo) decision[c] = decide_missing(record, o, c);
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
  const bool open = !begun_by(from, o).empty();
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
  return !begun_by(from, o).empty() && held_by_all_needers(from, o);
}

// An admit op that nobody has begun may be aborted like any other: nobody stands there, and so
// nobody enters by it.
bool Coordinator::refuses_as_admit(const LogRecord& record, int o) const {
  if (!is_admit(o)) return false;
  if (config().min_world > record.view.size()) return true;  // by which the run may grow again
  const bool entered_already = config().join == Join::kByAdmitOp && somebody_entered();
  return entered_already || decided(o) || !begun_by(reporters(record, o), o).empty();
}

// A FAIL that is refused goes to the first later op of its group, begun or not, that may be
// aborted.
void Coordinator::place_aborts(LogRecord& record, OpSet asked) {
  for (int o = 0; o < config().ops; o++) {
    if (!asked.has(o)) continue;
    int at = o;
    while (at < config().ops &&
           (refuses_as_admit(record, at) || (!record.aborts.has(at) && !may_abort(record, at)))) {
      findings_.mark(Mark::kAbortRefused);
      at += config().groups;
    }
    if (at >= config().ops) continue;
    findings_.mark(Mark::kLaterOpAborted, at > o);
    findings_.mark(Mark::kAdmitAborted, is_admit(at));
    record.aborts.add(at);
    record.final.remove(at);
  }
}

}  // namespace rhz::model
