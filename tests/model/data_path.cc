// The way of one chunk: a partial visits every source, the last of them makes the result, and the
// result goes to those who need it.  In an all-reduce both are everybody.
#include <algorithm>
#include <bit>

#include "tests/model/guards.h"
#include "tests/model/member.h"

namespace rhz::model {

int Member::Path::position_of(int peer) const {
  return static_cast<int>(std::find(hop, hop + length, peer) - hop);
}

Member::Path Member::path(int epoch, int o, int c) const {
  const PeerSet members = sources(epoch, o, c);
  Path ring;
  for (int p = 0; p < config().peers; p++) {
    if (members.has(p)) ring.hop[ring.length++] = to_byte(p);
  }
  const Decision& decision = resolution(epoch)->decision[o][c];
  const bool resumes = decision.kind == Decide::kResume;
  const int start = resumes ? ring.position_of(decision.holder) : c;
  const bool ends_at_needer = config().kind != Kind::kAllReduce;
  const Path whole = ends_at_needer ? ending_at(ring, o, c) : ring.rotated(start);
  return resumes ? resumed(whole, decision) : whole;
}

Member::Path Member::Path::rotated(int start) const {
  Path path;
  for (int i = 0; i < length; i++) path.hop[path.length++] = hop[(start + i) % length];
  return path;
}

// From the holder of the partial to those whose input it lacks, in the order of the whole path.
Member::Path Member::resumed(const Path& whole, const Decision& decision) const {
  Path path;
  path.hop[path.length++] = decision.holder;
  for (int i = 0; i < whole.length; i++) {
    const uint8_t next = whole.hop[i];
    const bool contributed = decision.contributors.has(next) && !mutated(kRevisit);
    if (next != decision.holder && !contributed) path.hop[path.length++] = next;
  }
  return path;
}

PeerSet Member::sources(int epoch, int o, int c) const {
  return shape(self_, o, c).sources & participants(epoch, o, self_);
}

// Of several sources, the one who needs the result comes last.  If it is gone, nobody makes it.
Member::Path Member::ending_at(const Path& ring, int o, int c) const {
  if (has_one_source(config().kind)) return ring;
  const int last = ring.position_of(std::countr_zero(shape(self_, o, c).needers.bits));
  return last == ring.length ? Path{} : ring.rotated(last + 1);
}

uint8_t Member::next_in_ring(int o) const {
  const PeerSet members = participants(me().epoch, o, self_);
  for (int i = 1; i <= config().peers; i++) {
    const int next = (self_ + i) % config().peers;
    if (members.has(next)) return to_byte(next);
  }
  return to_byte(self_);
}

void Member::start(int o) {
  const LogRecord& resolve = *resolution(me().epoch);
  for (int c = 0; c < config().chunks; c++) start_chunk(o, c, resolve.decision[o][c]);
  if (mutated(kReleaseAtSend)) release_at_send(o);
  if (!mutated(kDoneOnce) || mine(o).done.empty()) on_progress(o);
}

void Member::start_chunk(int o, int c, const Decision& decision) {
  const bool discards = !mutated(kNoDiscard) && !mutated(kMissAndKeep);
  Chunk& chunk = mine(o).chunk[c];
  switch (decision.kind) {
    case Decide::kKeep:
      findings_.mark(Mark::kKeep);
      if (chunk.held.present() && chunk.held.lineage != decision.lineage) {
        findings_.violate("L1 member holds another lineage than the kept one");
      } else if (decision.holder == self_) {
        start_keep(o, c);
      }
      return;
    case Decide::kRedo:
      findings_.mark(Mark::kRedo);
      if (discards) chunk.held = {};
      start_redo(o, c);
      return;
    case Decide::kResume:
      findings_.mark(Mark::kResume);
      if (discards) chunk.held = {};
      if (decision.holder != self_) return;
      if (chunk.partial != decision.contributors) {
        findings_.violate("R resume: the holder lost the partial");
        return;
      }
      start_resume(o, c);
      return;
    case Decide::kDrop:
      findings_.mark(Mark::kDrop);
      chunk.held = {};
      return;
    case Decide::kEmpty:
      findings_.mark(Mark::kEmpty);
      if (needs(self_, o, c)) set_held(o, c, {me().epoch, {}, basis(self_, o), 0});
      return;
  }
}

void Member::start_keep(int o, int c) {
  Value& held = mine(o).chunk[c].held;
  if (mutated(kWatermarkKeep)) held.watermark = std::min(to_byte(o), watermark_for(o));
  if (!held.present()) findings_.violate("R keep: the holder lost the value");
  if (held.present()) start_gather(o, c);
}

void Member::start_redo(int o, int c) {
  const Path hops = path(me().epoch, o, c);
  if (hops.length == 0 || hops.hop[0] != self_) {
    if (!mutated(kSumIntoInput)) set_partial(o, c, {});
    return;
  }
  Value value{0, own_input(o, c), basis(self_, o), watermark_for(o)};
  if (hops.length == 1) {
    value.lineage = me().epoch;
    set_held(o, c, value);
    start_gather(o, c);
    return;
  }
  set_partial(o, c, value);
  on_contributed(o);
  send_partial(o, c, hops.hop[1], value);
}

void Member::start_resume(int o, int c) {
  const Chunk& chunk = mine(o).chunk[c];
  const Path hops = path(me().epoch, o, c);
  Value value{0, chunk.partial, chunk.partial_basis, chunk.partial_watermark};
  if (mutated(kWatermarkResume)) value.watermark = watermark_for(o);
  if (hops.length == 1) {
    value.lineage = me().epoch;
    set_held(o, c, value);
    start_gather(o, c);
  } else {
    send_partial(o, c, hops.hop[1], value);
  }
}

void Member::deliver(int index) {
  const Message message = state_.message[index];
  state_.message[index] = state_.message[--state_.message_count];
  state_.message[state_.message_count] = {};
  if (!acceptable(*this, message)) return;
  Op& op = mine(message.op);
  if (mutated(kLandDirect) && op.released && message.kind == Frame::kGather) {
    findings_.violate("Z a frame landed in a released output buffer");
  }
  if (op.freed || op.aborted || !op.begun) return;
  // Peer 0 began op 0 with another signature: its frames do not fit the others, nor theirs it.
  // Or all believe to be the root: no frame fits anybody.
  const bool of_odd_peer = message.value.contributors.has(0);
  const bool odd = config().odd_signature() && message.op == 0 && of_odd_peer != (self_ == 0);
  if (odd || config().all_are_roots()) {
    if (!op.released) op.failing = 1;
    return;
  }
  const bool useful = !op.chunk[message.chunk].held.present();
  if (useful && source_reused(*this, message)) {
    findings_.violate("Z a frame was consumed after its sender reused the buffer");
  }
  if (message.kind == Frame::kGather) {
    receive_result(message);
  } else if (useful) {
    receive_partial(message);
  }
}

void Member::receive_partial(const Message& message) {
  const int o = message.op;
  const int c = message.chunk;
  if (message.value.contributors.has(self_)) {
    findings_.violate("D2 double count");
    return;
  }
  if (message.value.basis != basis(self_, o)) {
    findings_.violate("K inputs build on different lineages of the previous op, or layouts");
    return;
  }
  const Path hops = path(message.epoch, o, c);
  const int position = hops.position_of(self_);
  if (position == hops.length) return;
  Value value = message.value;
  value.contributors |= own_input(o, c);
  value.watermark =
      mutated(kWatermarkOwn) ? watermark_for(o) : std::min(value.watermark, watermark_for(o));
  if (mutated(kWatermarkPartial)) prove(o, value.watermark);
  set_partial(o, c, value);
  on_contributed(o);
  if (position < hops.length - 1) {
    send_partial(o, c, hops.hop[position + 1], value);
    return;
  }
  value.lineage = message.epoch;
  set_held(o, c, value);
  start_gather(o, c);
  on_progress(o);
}

void Member::receive_result(const Message& message) {
  const int o = message.op;
  const Value& held = mine(o).chunk[message.chunk].held;
  if (!held.present()) {
    set_held(o, message.chunk, message.value);
    on_progress(o);
  } else if (!held.same_result(message.value)) {
    findings_.violate("L1 two lineages meet in one epoch");
  }
  if (message.hops_left <= 1) return;
  Message onward = message;
  onward.source = to_byte(self_);
  onward.destination = next_in_ring(o);
  onward.hops_left--;
  send(onward);
}

// The contribution of this peer, and the check that the input is still there.
PeerSet Member::own_input(int o, int c) {
  const Op& op = mine(o);
  if (!op.inputs.has(c)) findings_.violate("I input needed but already freed");
  const PeerSet self = PeerSet::of(self_);
  if (!mutated(kSumIntoInput) || op.chunk[c].partial.empty()) return self;
  if (op.chunk[c].partial != self) {
    findings_.violate("D2 double count (input overwritten by a partial)");
  }
  return op.chunk[c].partial;
}

void Member::on_contributed(int o) {
  if (!mutated(kInputAtSend)) return;
  Op& op = mine(o);
  for (int c = 0; c < config().chunks; c++) {
    if (op.chunk[c].partial.empty() && !op.chunk[c].held.present()) return;
  }
  op.inputs = {};
}

void Member::set_partial(int o, int c, const Value& value) {
  Chunk& chunk = mine(o).chunk[c];
  chunk.partial = value.contributors;
  chunk.partial_basis = value.basis;
  chunk.partial_watermark = value.watermark;
}

// What a contribution to this op says of the older ones of its group.
uint8_t Member::watermark_for(int o) const { return full_upto(self_, group_number(o)); }

void Member::prove(int o, uint8_t watermark) {
  for (int g = 0; g < config().groups; g++) {
    if (g != group_number(o) && !mutated(kOneWatermark)) continue;
    me().watermark[g] = std::max(me().watermark[g], watermark);
  }
}

void Member::set_held(int o, int c, const Value& value) {
  mine(o).chunk[c].held = value;
  const bool proves = !has_one_source(config().kind) || mutated(kOneSourceProves);
  if (proves) prove(o, value.watermark);
  if (config().in_place) mine(o).inputs.remove(c);
}

void Member::send(const Message& message) {
  if (state_.message_count == kMaxMessages) out_of_room("kMaxMessages");
  state_.message[state_.message_count++] = message;
}

void Member::send_partial(int o, int c, uint8_t to, const Value& value) {
  send({Frame::kReduce, me().epoch, to_byte(o), to_byte(c), to_byte(self_), to, 0, value});
}

void Member::start_gather(int o, int c) {
  const PeerSet members = participants(me().epoch, o, self_);
  const PeerSet others = (shape(self_, o, c).needers & members).without(self_);
  if (others.empty()) return;
  const bool round = goes_round(config().kind);
  const int next = round ? next_in_ring(o) : std::countr_zero(others.bits);
  const int hops = round ? members.size() - 1 : 1;
  send({Frame::kGather, me().epoch, to_byte(o), to_byte(c), to_byte(self_), to_byte(next),
        to_byte(hops), mine(o).chunk[c].held});
}

}  // namespace rhz::model
