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
  if (op.freed || !full(op)) return;
  announce_done(o);
  if (config().input_freed_at_full) op.inputs = {};
  const bool at_once = config().rule == Rule::kRetain && config().quorum == 0;
  if (at_once && !op.released) release(o);
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
}

void Member::release(int o) {
  Op& op = mine(o);
  op.released = 1;
  op.failing = 0;
  findings_.mark(Mark::kReleaseByEvicted, !newest_view().has(self_));
  findings_.mark(Mark::kReleaseWhileSealed, me().frozen());
  for (int c = 0; c < config().chunks; c++) op.output[c] = op.chunk[c].held;
  check_release(o);
  check_same_results(o);
  check_aborted(o);
}

void Member::forget(int o) {
  Op& op = mine(o);
  if (!op.released) release(o);
  op.freed = 1;
  op.inputs = {};
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
  std::memset(op.chunk, 0, sizeof op.chunk);
  check_aborted(o);
}

void Member::end_admit() {
  Op& op = mine(config().admit_op);
  op.released = op.freed = 1;
}

// O3 and K: what one result is made of.
void Member::check_release(int o) {
  const Op& op = mine(o);
  const PeerSet required = participants(me().epoch, o, self_);
  const bool before_joiner = config().join == Join::kByAdmitOp && o < config().admit_op;
  for (int c = 0; c < config().chunks; c++) {
    const Value& result = op.output[c];
    if (!result.present()) findings_.violate("released without a value");
    if (!result.contributors.contains(required)) {
      findings_.violate("O3 a member's contribution is missing");
    }
    if (before_joiner && result.contributors.has(joiner())) {
      findings_.violate("O3 the joiner is in an older op");
    }
    if (config().mode == Mode::kStrict && result.contributors != op.output[0].contributors) {
      findings_.violate("O3 strict: chunks differ in contributors");
    }
    if (result.basis != basis(self_, o)) {
      findings_.violate("K result builds on another lineage of the previous op");
    }
  }
}

// S and U: what two peers return.
void Member::check_same_results(int o) {
  const PeerSet members = newest_view();
  for (int p = 0; p < config().peers; p++) {
    const Op& other = state_.peer[p].op[o];
    if (p == self_ || !other.released) continue;
    for (int c = 0; c < config().chunks; c++) {
      const Value& a = mine(o).output[c];
      const Value& b = other.output[c];
      if (a.lineage == b.lineage && a.contributors == b.contributors) continue;
      if (members.has(self_) && members.has(p)) {
        findings_.violate("S two members of the newest view released different results");
      } else if (config().uniform) {
        findings_.violate("U two released results differ");
      } else {
        findings_.uniform_splits++;
        break;
      }
    }
  }
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
