// Questions about joins: who may enter, who has, and what the log says of an admit op.
#include "tests/model/facts.h"

namespace rhz::model {

int Facts::entered(int peer) const {
  if (!joins(peer)) return 1;
  for (int i = 0; i < state_.log_size; i++) {
    const LogRecord& record = state_.log[i];
    if (record.type == RecordType::kView && record.view.has(peer)) return record.epoch;
  }
  return 0;
}

bool Facts::somebody_entered() const {
  for (int p = config_.founders(); p < config_.peers; p++) {
    if (entered(p) != 0) return true;
  }
  return false;
}

PeerSet Facts::may_be_admitted() const {
  PeerSet found{};
  for (int p = config_.founders(); p < config_.peers; p++) {
    const bool was_member = entered(p) != 0;
    if (was_named(p) && !state_.peer[p].alive) continue;
    if (!was_member || (mutated(kEnterAgain) && !newest_view().has(p))) found.add(p);
  }
  return found;
}

bool Facts::was_named(int peer) const {
  for (int i = 0; i < state_.log_size; i++) {
    const LogRecord& record = state_.log[i];
    if (record.type == RecordType::kAdmit && record.view.has(peer)) return true;
  }
  return false;
}

const LogRecord* Facts::admission() const {
  const LogRecord* open = nullptr;
  for (int i = 0; i < state_.log_size; i++) {
    const LogRecord& record = state_.log[i];
    const bool enters =
        record.type == RecordType::kView && open != nullptr && !(record.view & open->view).empty();
    const bool over = record.type == RecordType::kNobodyJoined && !mutated(kLateSynced);
    if (record.type == RecordType::kAdmit) open = &record;
    if (enters || over) open = nullptr;
  }
  return open;
}

const LogRecord* Facts::admitted(int peer) const {
  const LogRecord* named = nullptr;
  for (int i = 0; i < state_.log_size; i++) {
    const LogRecord& record = state_.log[i];
    if (record.type == RecordType::kAdmit && record.view.has(peer)) named = &record;
    if (record.type == RecordType::kView && record.view.has(peer)) return named;
  }
  return nullptr;
}

bool Facts::decided(int admit_op) const {
  for (int i = 0; i < state_.log_size; i++) {
    const LogRecord& record = state_.log[i];
    if (record.type == RecordType::kAdmit && record.admit == admit_op + 1) return true;
  }
  return is_over(admit_op) && !mutated(kAdmitTwice);
}

bool Facts::is_over(int admit_op) const {
  for (int i = 0; i < state_.log_size; i++) {
    const LogRecord& record = state_.log[i];
    if (record.type == RecordType::kNobodyJoined && record.admit == admit_op + 1) return true;
  }
  return false;
}

// It has told the coordinator so, and may be dead by now.
bool Facts::stands(int p, int admit_op) const {
  const Peer& peer = state_.peer[p];
  if (!peer.op[admit_op].begun) return false;
  if (peer.op[admit_op].ended() && !mutated(kAdmitTwice)) return false;
  for (int o = admit_op - config_.groups; o >= 0; o -= config_.groups) {
    if (peer.alive && takes_part(p, peer.epoch, o) && !peer.op[o].freed && !peer.op[o].aborted)
      return false;
  }
  return true;
}

bool Facts::all_stand(int admit_op) const {
  const PeerSet members = newest_view();
  for (int p = 0; p < config_.peers; p++) {
    if (members.has(p) && !stands(p, admit_op)) return false;
  }
  return !members.empty();
}

int Facts::work_before(int op) const {
  int before = previous(op);
  while (is_admit(before)) before = previous(before);
  return before;
}

// A live member, or a fellow joiner that has it already.
int Facts::donor_for(const LogRecord& admit, int joiner) const {
  const int op = admit.admit - 1;
  const PeerSet members = newest_view();
  const PeerSet company = admit.view.without(joiner);
  for (int p = config_.peers - 1; p >= 0; p--) {
    const Peer& peer = state_.peer[p];
    if (!peer.live()) continue;
    if (company.has(p) && (peer.synced == admit.admit || mutated(kTrustCompany))) return p;
    if (members.has(p) && state_before(p, op) == admit.state) return p;
  }
  return -1;
}

uint8_t Facts::state_before(int peer, int op) const {
  const int before = work_before(op);
  if (config_.order != Order::kSequential || before < 0) return 0;
  int lineages = 0;
  for (int c = 0; c < config_.chunks; c++) {
    lineages |= state_.peer[peer].op[before].output[c].lineage << 4 * c;
  }
  return to_byte(lineages);
}

}  // namespace rhz::model
