#include "tests/model/guards.h"

#include <algorithm>

namespace rhz::model {
namespace {

// Of `members`: those whose DONE the peer may have seen.
int done_count(const Facts& facts, int p, int o, PeerSet members) {
  const Peer& peer = facts.state().peer[p];
  EpochSet counted = EpochSet::of(peer.epoch);
  if (facts.mutated(kAnyDone)) counted = EpochSet::from(0);
  if (facts.mutated(kOldDone) || facts.mutated(kOldDoneAndMiss)) {
    counted = EpochSet::all_below(peer.epoch + 1);
  }
  int count = 0;
  for (int q = 0; q < facts.config().peers; q++) {
    EpochSet done = facts.state().peer[q].op[o].done;
    for (int other = 0; other < facts.config().ops && facts.mutated(kOneWave); other++) {
      done |= facts.state().peer[q].op[other].done;
    }
    const bool sent = !(done & counted).empty();
    if (members.has(q) && sent && !peer.op[o].lost_done.has(q)) count++;
  }
  return count;
}

int done_count(const Facts& facts, int p, int o) {
  return done_count(facts, p, o, facts.participants(facts.state().peer[p].epoch, o, p));
}

}  // namespace

// Between seal and install nothing of the op moves.
bool frozen(const Facts& facts, int p, int o) {
  const Peer& peer = facts.state().peer[p];
  if (!peer.frozen() || !facts.mutated(kSealAffected)) return peer.frozen();
  const PeerSet group = facts.group_of(o);
  return (facts.view(peer.epoch) & group) != (facts.view(peer.sealed) & group);
}

bool may_begin(const Facts& facts, int p, int o) {
  const Config& config = facts.config();
  const Peer& peer = facts.state().peer[p];
  const int first = facts.first_op(p, peer.epoch, facts.group_number(o));
  if (peer.op[o].begun || peer.frozen()) return false;
  if (!facts.group_of(o).has(p)) return false;
  if (config.absent == p && config.first_group_is_stuck(o)) return false;
  if (config.joins(p) && peer.epoch > 0 && config.mutated(kJoinerInOld)) return true;
  if (o < first) return false;
  for (int older = first; older < o && !config.mutated(kPastAdmit); older++) {
    const bool same_group =
        facts.group_number(older) == facts.group_number(o) || facts.mutated(kAdmitStopsAll);
    if (same_group && facts.is_admit(older) && !peer.op[older].ended()) return false;
  }
  const int before = config.mutated(kOneOrder) ? o - 1 : facts.previous(o);
  if (before < first) return true;
  const Op& previous = peer.op[before];
  return previous.begun && (config.order != Order::kSequential || previous.ended());
}

bool may_learn(const Facts& facts, int p, int o) {
  const Config& config = facts.config();
  const Peer& peer = facts.state().peer[p];
  const Op& op = peer.op[o];
  if (!peer.live() || peer.frozen() || !op.begun || op.ended() || op.known) return false;
  if (!facts.needs_none(p, o)) return false;
  const PeerSet members = facts.participants(peer.epoch, o, p);
  if (ends_at_root(config.kind) && !members.has(facts.root_of(p))) return false;
  PeerSet waited_for{};
  for (int c = 0; c < config.chunks; c++) waited_for |= facts.shape(p, o, c).needers & members;
  return done_count(facts, p, o, waited_for) == waited_for.size();
}

Proof wave_proof(const Facts& facts, int p, int o) {
  const Config& config = facts.config();
  const Peer& peer = facts.state().peer[p];
  const Op& op = peer.op[o];
  if (!peer.live() || op.freed || op.aborted || !facts.full(p, o)) return Proof::kNone;
  if (frozen(facts, p, o) && !config.mutated(kDoneAfterSeal)) return Proof::kNone;
  if (config.implicit_wave && o + 1 < config.ops) {
    return facts.full(p, o + 1) ? Proof::kNextOp : Proof::kNone;
  }
  if (config.watermark && peer.watermark[facts.group_number(o)] > o) return Proof::kWatermark;
  const bool whole_view = config.mutated(kWaitJoiner) || config.mutated(kWaitForOutsiders);
  const PeerSet waited_for =
      whole_view ? facts.view(peer.epoch) : facts.participants(peer.epoch, o, p);
  const int needed = waited_for.size() - (config.mutated(kPartialWave) ? 1 : 0);
  return done_count(facts, p, o) >= std::max(1, needed) ? Proof::kDone : Proof::kNone;
}

bool quorum_known(const Facts& facts, int p, int o) {
  const Config& config = facts.config();
  const Peer& peer = facts.state().peer[p];
  const Op& op = peer.op[o];
  if (config.rule != Rule::kRetain || config.quorum == 0) return false;
  if (!peer.live() || peer.frozen() || op.released || op.freed) return false;
  if (!facts.full(p, o)) return false;
  const int members = facts.participants(peer.epoch, o, p).size();
  return done_count(facts, p, o) >= std::min(1 + config.quorum, members);
}

bool must_wait(const Facts& facts, const Message& message) {
  const Peer& to = facts.state().peer[message.destination];
  if (!to.live()) return false;
  if (message.epoch > to.epoch) {
    return !facts.mutated(kDropEarlyData) && !facts.mutated(kStaleFrames);
  }
  const bool begun = to.op[message.op].begun != 0 || facts.mutated(kDropUnbegun);
  return message.epoch == to.epoch && !to.frozen() && !begun;
}

bool acceptable(const Facts& facts, const Message& message) {
  const Peer& to = facts.state().peer[message.destination];
  if (!to.live()) return false;
  if (facts.mutated(kStaleFrames)) return true;
  const bool sealed = frozen(facts, message.destination, message.op);
  return message.epoch == to.epoch && (!sealed || facts.mutated(kNoFreeze));
}

bool source_reused(const Facts& facts, const Message& message) {
  if (message.source == kDetached || !facts.config().zero_copy) return false;
  const Op& op = facts.state().peer[message.source].op[message.op];
  const bool its_own = message.value.contributors == PeerSet::of(message.source);
  const bool reads_input = its_own && (message.kind == Frame::kReduce ||
                                       !facts.needs(message.source, message.op, message.chunk));
  if (reads_input) return !op.inputs.has(message.chunk);
  return op.freed || (facts.mutated(kNoRetain) && op.released);
}

}  // namespace rhz::model
