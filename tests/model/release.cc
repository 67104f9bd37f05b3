// How an op ends at a peer: DONE, release, the wave, ABORT; and the invariants checked there.
#include <cstring>

#include "tests/model/member.h"

namespace rhz::model {

void Member::on_progress(int o) {
  Op& op = mine(o);
  if (mutated(kDoneEarly)) {
    for (int c = 0; c < config().chunks; c++) {
      if (op.chunk[c].held.present()) announce_done(o);
    }
  }
  if (op.freed || op.aborted || !full(self_, o)) return;
  announce_done(o);
  if (config().input_freed_at_full) free_inputs(o);
  const bool at_once = config().rule == Rule::kRetain && config().quorum == 0;
  if (at_once && !op.released) release(o);
}

void Member::learn(int o) {
  mine(o).known = 1;
  on_progress(o);
}

// What a peer holds as its only source, and does not need itself, is its input.
void Member::free_inputs(int o) {
  Op& op = mine(o);
  op.inputs = {};
  for (int c = 0; c < config().chunks; c++) {
    if (!needs(self_, o, c)) op.chunk[c].held = {};
  }
}

void Member::release_at_send(int o) {
  if (!needs_none(self_, o) || !begins_at_root(config().kind) || mine(o).released) return;
  release(o);
  free_inputs(o);
}

void Member::announce_done(int o) {
  Op& op = mine(o);
  if (mutated(kDoneOnce) && !op.done.empty()) return;
  if (mutated(kDropEarlyDone) && !op.done.has(me().epoch)) {
    for (int p = 0; p < config().peers; p++) {
      Peer& peer = state_.peer[p];
      if (peer.epoch < me().epoch) peer.op[o].lost_done.add(self_);
    }
  }
  op.done.add(me().epoch);
  if (ends_at_root(config().kind) && self_ == config().root) state_.root_had_it.add(o);
}

void Member::release(int o) {
  Op& op = mine(o);
  op.released = 1;
  op.failing = 0;
  findings_.mark(Mark::kReleaseByEvicted, !newest_view().has(self_));
  findings_.mark(Mark::kReleaseWhileSealed, me().frozen());
  for (int c = 0; c < config().chunks; c++) {
    if (needs(self_, o, c)) op.output[c] = op.chunk[c].held;
  }
  const bool alone = participants(me().epoch, o, self_).size() == 1;
  if (config().all_are_roots() && !alone) findings_.violate("D2 released, though the roots differ");
  check_root(o);
  check_release(o);
  check_same_results(o);
  check_aborted(o);
}

void Member::forget(int o) {
  Op& op = mine(o);
  if (!op.released) release(o);
  op.freed = 1;
  op.inputs = {};
  op.known = 0;
  op.layout = {};
  std::memset(op.chunk, 0, sizeof op.chunk);
}

void Member::end_by_abort(int o) {
  Op& op = mine(o);
  if (op.aborted || (mutated(kAbortUnbegun) && !op.begun)) return;
  findings_.mark(Mark::kAbort);
  findings_.mark(Mark::kAbortOfUnbegun, !op.begun);
  op.aborted = 1;
  op.failing = 0;
  op.inputs = {};
  op.known = 0;
  op.layout = {};
  std::memset(op.chunk, 0, sizeof op.chunk);
  check_aborted(o);
}

void Member::end_admit(int o) {
  Op& op = mine(o);
  op.released = op.freed = 1;
  check_aborted(o);
}

// O3 and K: what one result is made of.
void Member::check_release(int o) {
  const Op& op = mine(o);
  for (int c = 0; c < config().chunks; c++) {
    if (!needs(self_, o, c)) continue;
    const Value& result = op.output[c];
    if (!result.present()) findings_.violate("released without a value");
    check_contributors(o, c);
    for (int p = config().founders(); p < config().peers; p++) {
      if (result.contributors.has(p) && !ever_took_part(p, me().epoch, o)) {
        findings_.violate("O3 a joiner is in an older op");
      }
    }
    if (result.basis != basis(self_, o)) {
      findings_.violate("K result builds on another lineage of the previous op, or layout");
    }
  }
}

// Who gets nothing may still not be told that all went well.
void Member::check_root(int o) {
  if (ends_at_root(config().kind) && !state_.root_had_it.has(o)) {
    findings_.violate("O3 released, though the root never had the result");
  }
  const bool rootless = has_layout(config().kind) && !mine(o).layout.has(root_of(self_));
  if (begins_at_root(config().kind) && rootless) findings_.violate("O3 released without its root");
}

void Member::check_contributors(int o, int c) {
  const Op& op = mine(o);
  const PeerSet contributors = op.output[c].contributors;
  const bool strict = config().mode == Mode::kStrict;
  if (!contributors.contains(sources(me().epoch, o, c))) {
    findings_.violate("O3 a member's contribution is missing");
  }
  if (!shape(self_, o, c).sources.contains(contributors)) {
    findings_.violate("O3 a contribution of somebody who is no source");
  }
  if (has_one_source(config().kind)) {
    const bool may_be_empty = !strict && !begins_at_root(config().kind);
    if (contributors.empty() && !may_be_empty) findings_.violate("O3 a block is missing");
    return;
  }
  for (int d = 0; d < c && strict; d++) {
    if (needs(self_, o, d) && contributors != op.output[d].contributors) {
      findings_.violate("O3 strict: chunks differ in contributors");
    }
  }
}

// S and U: what two peers return.
void Member::check_same_results(int o) {
  const PeerSet members = newest_view();
  for (int p = 0; p < config().peers; p++) {
    const Op& other = state_.peer[p].op[o];
    if (p == self_ || !other.released || same_result(other, o)) continue;
    if (members.has(self_) && members.has(p)) {
      findings_.violate("S two members of the newest view released different results");
    } else if (config().uniform) {
      findings_.violate("U two released results differ");
    } else {
      findings_.uniform_splits++;
    }
  }
}

// Chunks that both need are the same; strict: and all sums are over the same contributors.
bool Member::same_result(const Op& other, int o) const {
  for (int c = 0; c < config().chunks; c++) {
    const Value& a = mine(o).output[c];
    const Value& b = other.output[c];
    const bool both = a.present() && b.present();
    if (both && (a.lineage != b.lineage || a.contributors != b.contributors)) return false;
    const bool one_set = config().mode == Mode::kStrict && !has_one_source(config().kind);
    for (int d = 0; d < config().chunks && one_set && a.present(); d++) {
      const Value& z = other.output[d];
      if (z.present() && a.contributors != z.contributors) return false;
    }
  }
  return true;
}

// A: an op is released by one and aborted by another.
void Member::check_aborted(int o) {
  const PeerSet members = newest_view();
  const Op& op = mine(o);
  if (op.released && op.aborted) findings_.violate("A a released op is aborted");
  for (int p = 0; p < config().peers; p++) {
    const Op& other = state_.peer[p].op[o];
    const bool split = (op.released && other.aborted) || (op.aborted && other.released);
    if (p == self_ || !split) continue;
    if (config().uniform || (members.has(self_) && members.has(p))) {
      findings_.violate("A released by one, aborted by another");
    } else {
      findings_.uniform_splits++;
    }
  }
}

}  // namespace rhz::model
