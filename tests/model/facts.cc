#include "tests/model/facts.h"

#include <cstdio>
#include <cstdlib>

namespace rhz::model {

void out_of_room(const char* what) {
  std::fprintf(stderr, "too small for this configuration: %s\n", what);
  std::abort();
}

int Facts::newest_epoch() const {
  int epoch = 0;
  for (int i = 0; i < state_.log_size; i++) {
    if (state_.log[i].type == RecordType::kView) epoch = state_.log[i].epoch;
  }
  return epoch;
}

PeerSet Facts::view(int epoch) const {
  for (int i = 0; i < state_.log_size; i++) {
    const LogRecord& record = state_.log[i];
    if (record.type == RecordType::kView && record.epoch == epoch) return record.view;
  }
  return {};
}

const LogRecord* Facts::resolution(int epoch) const {
  for (int i = 0; i < state_.log_size; i++) {
    const LogRecord& record = state_.log[i];
    if (record.type == RecordType::kResolve && record.epoch == epoch) return &record;
  }
  return nullptr;
}

int Facts::first_op(int peer, int epoch, int group) const {
  if (!joins(peer)) return 0;
  const LogRecord* resolve = resolution(epoch);
  return resolve != nullptr ? resolve->first_op[group][peer] : config_.ops;
}

bool Facts::takes_part(int peer, int epoch, int op) const {
  return group_of(op).has(peer) && op >= first_op(peer, epoch, group_number(op));
}

bool Facts::ever_took_part(int peer, int epoch, int op) const {
  if (!joins(peer)) return true;
  for (int e = 1; e <= epoch; e++) {
    if (view(e).has(peer) && takes_part(peer, e, op)) return true;
  }
  return false;
}

PeerSet Facts::group_of(int op) const {
  const PeerSet all = PeerSet::all_below(config_.peers);
  if (op % config_.groups == 0) return all;
  const PeerSet founders = PeerSet::all_below(config_.founders());
  return (config_.both ? all : founders).without(0);
}

int Facts::previous(int op) const { return op - config_.groups; }

PeerSet Facts::participants(int epoch, int op, int asking) const {
  PeerSet members = view(epoch) & group_of(op);
  if (mutated(kJoinerInGroups) && group_number(op) > 0) return members | (view(epoch) & joiners());
  if ((members & joiners()).empty() || mutated(kJoinerInOld)) return members;
  PeerSet taking_part = members;
  for (int p = config_.founders(); p < config_.peers; p++) {
    const bool here = mutated(kLocalParticipants) ? state_.peer[asking].op[op].begun_with.has(p)
                                                  : takes_part(p, epoch, op);
    if (!here) taking_part.remove(p);
  }
  return taking_part;
}

bool Facts::needs_none(int peer, int op) const {
  for (int c = 0; c < config_.chunks; c++) {
    if (needs(peer, op, c)) return false;
  }
  return true;
}

bool Facts::full(int peer, int o) const {
  const Op& op = state_.peer[peer].op[o];
  if (op.freed) return true;
  if (!op.begun) return false;
  if (needs_none(peer, o)) return op.known != 0 || mutated(kFullByNothing);
  for (int c = 0; c < config_.chunks; c++) {
    if (needs(peer, o, c) && !op.chunk[c].held.present()) return false;
  }
  return true;
}

uint8_t Facts::full_upto(int peer, int group) const {
  if (!config_.watermark) return 0;
  if (mutated(kWatermarkJoiner) && joins(peer)) return to_byte(config_.ops);
  int leading = 0;
  int next = group;  // the op that the prefix lacks
  const int from = first_op(peer, state_.peer[peer].epoch, group);
  for (int o = group; o < config_.ops; o += config_.groups) {
    const Op& op = state_.peer[peer].op[o];
    const bool complete = is_admit(o) ? op.released != 0 : full(peer, o);
    if (!op.aborted && o >= from && !complete) continue;
    if (next != o && !mutated(kWatermarkHighest)) continue;
    leading = o + 1;
    next = o + config_.groups;
  }
  return to_byte(leading);
}

uint8_t Facts::basis(int peer, int op) const {
  if (has_layout(config_.kind)) return state_.peer[peer].op[op].layout.bits;
  if (config_.kind != Kind::kAllReduce) return 0;
  return state_before(peer, op);
}

bool Facts::quiet() const {
  const int epoch = newest_epoch();
  const PeerSet members = view(epoch);
  for (int p = 0; p < config_.peers; p++) {
    const Peer& peer = state_.peer[p];
    if (!members.has(p) || !peer.live()) continue;
    for (int o = 0; o < config_.ops; o++) {
      const Op& op = peer.op[o];
      if (!takes_part(p, epoch, o) || config_.first_group_is_stuck(o)) continue;
      if (!op.begun || (!op.freed && !op.aborted)) return false;
    }
  }
  const bool joiner_waits = resolution(epoch) == nullptr && somebody_entered();
  return !joiner_waits;
}

}  // namespace rhz::model
