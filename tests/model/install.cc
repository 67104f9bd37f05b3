// What the application and the log make a peer do: begin an op, seal, install.
#include <algorithm>
#include <cstring>

#include "tests/model/member.h"

namespace rhz::model {

void Member::begin(int o) {
  Op& op = mine(o);
  op.begun = 1;
  if (is_admit(o) || op.aborted) return;
  const LogRecord& resolve = *resolution(me().epoch);
  const bool rooted = has_root(config().kind);
  if (has_layout(config().kind)) op.layout = participants(me().epoch, o, self_);
  // A root that is gone is missed all the same: nobody is full without it.
  if (has_layout(config().kind) && rooted) op.layout.add(root_of(self_));
  for (int c = 0; c < config().chunks; c++) {
    if (shape(self_, o, c).sources.has(self_)) op.inputs.add(c);
  }
  const bool rootless = rooted && !view(me().epoch).has(root_of(self_));
  if (rootless && !resolve.open.has(o) && !mutated(kDeadRootIgnored)) op.failing = 1;
  if (mutated(kLocalParticipants)) {
    op.begun_with = view(me().epoch) & joiners();
  }
  if (mutated(kFreeAtNext) && o > 0 && !mine(o - 1).freed) forget(o - 1);
  start(o);
}

void Member::observe() {
  const LogRecord record = state_.log[me().log_cursor++];
  if (record.type == RecordType::kAdmit) return;
  if (record.type == RecordType::kNobodyJoined) {
    end_admit(record.admit - 1);
  } else if (record.type == RecordType::kView) {
    observe_view(record);
  } else if (record.epoch == me().epoch) {  // kAbortNoSeal: a bare record for an installed epoch
    for (int o = 0; o < config().ops; o++) {
      if (record.aborts.has(o)) end_by_abort(o);
    }
  } else {
    const int next = me().log_cursor;
    const bool superseded = next < state_.log_size && state_.log[next].type == RecordType::kView;
    if (!superseded || !mutated(kSkipLog)) install(record);
  }
}

// Seal, or eviction: in both, sends that read this peer's buffers are complete or cancelled first.
void Member::observe_view(const LogRecord& record) {
  if (record.view.has(self_)) {
    me().sealed = record.epoch;
  } else {
    me().evicted = 1;
  }
  if (mutated(kNoQuiesce)) return;
  for (int i = 0; i < state_.message_count; i++) {
    if (state_.message[i].source == self_) state_.message[i].source = kDetached;
  }
}

void Member::install(const LogRecord& record) {
  check_newcomers(record);
  me().epoch = record.epoch;
  me().sealed = std::max(me().sealed, record.epoch);
  for (int o = 0; o < config().ops; o++) {
    const bool older = group_of(o).has(self_) && mutated(kJoinerInOld);
    if (takes_part(self_, record.epoch, o) || older) install_op(record, o);
  }
  if (record.admit != 0) end_admit(record.admit - 1);
}

void Member::check_newcomers(const LogRecord& record) {
  const PeerSet before = view(me().epoch);
  for (int p = config().founders(); p < config().peers; p++) {
    if (p == self_ || !record.view.has(p) || before.has(p)) continue;
    for (int o = 0; o < config().ops; o++) {
      const bool enters = takes_part(p, record.epoch, o);
      if (enters && mine(o).begun && !mine(o).aborted) {
        findings_.violate("O3 a joiner enters an op that has begun");
      }
    }
  }
}

void Member::install_op(const LogRecord& record, int o) {
  Op& op = mine(o);
  if (record.answered[o].has(self_) && !mutated(kFailSticks)) op.failing = 0;
  if (record.aborts.has(o)) {
    end_by_abort(o);
    return;
  }
  if (op.aborted || is_admit(o)) return;
  if (record.final.has(o)) {
    findings_.mark(Mark::kFinal, !op.freed);
    if (op.begun && needs_none(self_, o)) op.known = 1;
    if (!full(self_, o)) findings_.violate("F final, but a member lacks the value");
    if (full(self_, o) && !op.freed) forget(o);
  } else if (op.freed) {
    if (!mutated(kNoFinal)) findings_.violate("F a freed op got a decision that is not final");
  } else if (op.begun) {
    start(o);
  }
}

}  // namespace rhz::model
