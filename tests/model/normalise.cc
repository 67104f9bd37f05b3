#include "tests/model/normalise.h"

#include <algorithm>
#include <cstring>

#include "tests/model/facts.h"

namespace rhz::model {
namespace {

// Frames and DONEs of other epochs have no effect.  Not so for some mutants; not assumed with
// raw=1.
bool epochs_fence(const Config& config) {
  switch (config.mutant) {
    case kStaleFrames:
    case kNoFreeze:
    case kSealAffected:
    case kOldDone:
    case kOldDoneAndMiss:
    case kAnyDone:
    case kLostTail: return false;
    default: return !config.raw;
  }
}

bool without_effect(const Config& config, const State& state, const Message& message) {
  const Peer& to = state.peer[message.destination];
  const Op& op = to.op[message.op];
  if (!to.live()) return true;
  if ((op.freed || op.aborted) && !config.mutated(kLandDirect)) return true;
  return message.epoch < to.epoch || (message.epoch == to.epoch && to.frozen());
}

// Messages are a bag: sorted, so that their order does not tell states apart.
void normalise_messages(const Config& config, bool fenced, State& state) {
  for (int i = 0; i < state.message_count;) {
    Message& message = state.message[i];
    if (message.source != kDetached && !state.peer[message.source].alive) {
      message.source = kDetached;
    }
    if (fenced && without_effect(config, state, message)) {
      message = state.message[--state.message_count];
      state.message[state.message_count] = {};
    } else {
      i++;
    }
  }
  std::sort(
      state.message, state.message + state.message_count,
      [](const Message& a, const Message& b) { return std::memcmp(&a, &b, sizeof(Message)) < 0; });
}

// Epochs in which some peer may still act on a DONE.
EpochSet useful_epochs(const Config& config, const State& state) {
  EpochSet useful{};
  for (int p = 0; p < config.peers; p++) {
    const Peer& peer = state.peer[p];
    if (peer.live() && peer.epoch > 0)
      useful |= EpochSet::from(peer.frozen() ? peer.epoch + 1 : peer.epoch);
  }
  return useful;
}

// What remains of an op at a peer that is gone: what it announced, freed and returned, as far as
// others can consume or contradict it.
Op remains(const Op& op, bool alive, bool compared) {
  Op rest{};
  rest.done = op.done;
  rest.freed = alive ? op.freed : 0;
  if (!compared) return rest;
  rest.aborted = op.aborted;
  if (op.released) {
    rest.released = 1;
    std::memcpy(rest.output, op.output, sizeof rest.output);
  }
  return rest;
}

// A joiner that no admit op is left for.
bool is_turned_away(const Facts& facts, int p) {
  const LogRecord* admission = facts.admission();
  if (facts.entered(p) != 0 || !facts.was_named(p)) return false;
  if (admission != nullptr && admission->view.has(p)) return false;
  for (int o = 0; o < facts.config().ops; o++) {
    if (facts.is_admit(o) && !facts.decided(o)) return false;
  }
  return true;
}

}  // namespace

void normalise(const Config& config, State& state) {
  const bool fenced = epochs_fence(config);
  normalise_messages(config, fenced, state);
  if (!fenced) return;
  const Facts facts(config, state);
  const int epoch = facts.newest_epoch();
  const PeerSet members = facts.view(epoch);
  const bool resolved = facts.resolution(epoch) != nullptr;
  const EpochSet useful = useful_epochs(config, state);
  for (int p = 0; p < config.peers; p++) {
    Peer& peer = state.peer[p];
    const bool report_pending =
        members.has(p) && !peer.evicted && peer.sealed == epoch && !resolved;
    const bool gone = !peer.live() && !report_pending;
    if (gone) {
      peer.epoch = peer.sealed = peer.log_cursor = peer.synced = 0;
      std::memset(peer.watermark, 0, sizeof peer.watermark);
    }
    if (is_turned_away(facts, p)) peer = {};
    for (int o = 0; o < config.ops; o++) {
      Op& op = peer.op[o];
      if (!config.mutated(kDoneOnce)) op.done &= useful;
      if (!gone) continue;
      const bool stood =
          config.join == Join::kByLog && members.has(p) && config.is_admit(o) && facts.stands(p, o);
      op = remains(op, peer.alive != 0, config.uniform || members.has(p));
      op.begun = stood ? 1 : 0;
    }
  }
}

}  // namespace rhz::model
