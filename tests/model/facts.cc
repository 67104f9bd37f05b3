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

int Facts::joiner_epoch() const {
  if (joiner() < 0) return 0;
  for (int i = 0; i < state_.log_size; i++) {
    const LogRecord& record = state_.log[i];
    if (record.type == RecordType::kView && record.view.has(joiner())) return record.epoch;
  }
  return 0;
}

int Facts::first_op(int peer, int epoch) const {
  if (peer != joiner()) return 0;
  const LogRecord* resolve = resolution(epoch);
  return resolve != nullptr ? resolve->first_op : config_.ops;
}

PeerSet Facts::group_of(int op) const {
  const PeerSet all = PeerSet::all_below(config_.peers);
  return op % config_.groups == 0 ? all : all.without(0);
}

int Facts::previous(int op) const { return op - config_.groups; }

PeerSet Facts::participants(int epoch, int op, int asking) const {
  const PeerSet members = view(epoch) & group_of(op);
  if (joiner() < 0 || !members.has(joiner()) || mutated(kJoinerInOld)) return members;
  const bool joiner_takes_part = mutated(kLocalParticipants)
                                     ? state_.peer[asking].op[op].begun_with_joiner != 0
                                     : op >= first_op(joiner(), epoch);
  return joiner_takes_part ? members : members.without(joiner());
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

uint8_t Facts::full_upto(int peer) const {
  if (!config_.watermark) return 0;
  if (mutated(kWatermarkJoiner) && peer == joiner()) return to_byte(config_.ops);
  int leading = 0;
  const int from = first_op(peer, state_.peer[peer].epoch);
  for (int o = 0; o < config_.ops; o++) {
    const Op& op = state_.peer[peer].op[o];
    const bool complete = is_admit(o) ? op.released != 0 : full(peer, o);
    if (!op.aborted && o >= from && !complete) continue;
    if (leading == o || mutated(kWatermarkHighest)) leading = o + 1;
  }
  return to_byte(leading);
}

uint8_t Facts::basis(int peer, int op) const {
  if (has_layout(config_.kind)) return state_.peer[peer].op[op].layout.bits;
  if (config_.kind != Kind::kAllReduce) return 0;
  const int before = is_admit(op - 1) ? op - 2 : previous(op);
  if (config_.order != Order::kSequential || before < 0) return 0;
  int lineages = 0;
  for (int c = 0; c < config_.chunks; c++) {
    lineages |= state_.peer[peer].op[before].output[c].lineage << 4 * c;
  }
  return to_byte(lineages);
}

bool Facts::quiet() const {
  const int epoch = newest_epoch();
  const PeerSet members = view(epoch);
  for (int p = 0; p < config_.peers; p++) {
    const Peer& peer = state_.peer[p];
    if (!members.has(p) || !peer.live()) continue;
    for (int o = first_op(p, epoch); o < config_.ops; o++) {
      const Op& op = peer.op[o];
      if (!group_of(o).has(p) || config_.first_group_is_stuck(o)) continue;
      if (!op.begun || (!op.freed && !op.aborted)) return false;
    }
  }
  const bool joiner_waits = joiner_epoch() != 0 && resolution(epoch) == nullptr;
  return !joiner_waits;
}

}  // namespace rhz::model
