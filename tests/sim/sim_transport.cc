#include "tests/sim/sim_transport.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "runtime/base/assert.h"

namespace rhz::sim {

using wire::is_op_frame;
using wire::Kind;

namespace {
constexpr size_t kPast = 64;  // frames of a lane that may come again
// As it comes out of its bytes at the far end.
wire::FrameHeader through_codec(const Config& config, wire::FrameHeader header, uint64_t number) {
  if (!config.codec) return header;
  header.lane_seq = number;
  wire::HeaderBytes bytes;
  wire::encode_header(header, bytes.data());
  const auto decoded = wire::decode_header(bytes.data());
  RHZ_ASSERT("codec", decoded.is_ok() && decoded.value() == header);
  return decoded.value();
}
}  // namespace

SimTransport::SimTransport(World& world, Network& network, Directory& directory,
                           const Config& config, NodeIndex self, uint64_t run_hash)
    : world_(world),
      network_(network),
      directory_(directory),
      config_(config),
      self_(self),
      run_hash_(run_hash) {}

SimTransport::~SimTransport() = default;

SimTransport::Peer& SimTransport::peer(PeerId id) {
  const NodeIndex index = index_of(id);
  if (index >= by_index_.size()) by_index_.resize(index + 1);
  if (!by_index_[index]) {
    by_index_[index] = &peers_[id];
    by_index_[index]->id = id;
  }
  return *by_index_[index];
}

SimTransport::Lane& SimTransport::lane_of(PeerId id, LaneClass lane_class) {
  auto& lane = peer(id).lanes[static_cast<size_t>(lane_class)];
  if (!lane) {
    lane = std::make_unique<Lane>();
    lane->out = network_.open(self_, index_of(id));
  }
  return *lane;
}

bool SimTransport::names(PeerId id) const {
  const NodeIndex index = index_of(id);
  return index < by_index_.size() && by_index_[index] && by_index_[index]->named;
}

void SimTransport::set_peers(std::span<const PeerAddress> peers, std::span<const PeerId>) {
  std::set<PeerId> still;
  for (const PeerAddress& address : peers) still.insert(address.id);
  for (auto& [id, known] : peers_) {
    if (!known.named || still.contains(id)) continue;
    known.named = false;
    for (const auto& lane : known.lanes) {
      if (!lane) continue;
      lane->queue.clear();
      lane->sent.clear();
      lane->arrived.resize(lane->landing ? 1 : 0);
      lane->held = false;
      lane->cancelled = lane->landing;
    }
  }
  for (const PeerAddress& address : peers) {
    Peer& named = peer(address.id);
    named.named = true;
    named.told_down = false;
    for (LaneClass lane : {LaneClass::kExpress, LaneClass::kBulk})
      if (named.lanes[static_cast<size_t>(lane)]) offer_later(address.id, lane, Duration::zero());
    watch_death(address.id);
  }
}

void SimTransport::send(PeerId to, LaneClass lane_class, OutFrame frame) {
  if (!names(to)) {
    ++counters_.dropped_frames;
    return;
  }
  if (frame.header.kind == Kind::kDone) directory_.reached(self_, Mark::kDoneDue);
  if (muted_) return;
  Lane& lane = lane_of(to, lane_class);
  frame.header.run = run_hash_;
  frame.header.length = static_cast<uint32_t>(frame.payload.size());
  Out out{std::move(frame), {}, false, 0};
  if (lane_class == LaneClass::kExpress) {
    out.copy.assign(out.frame.payload.begin(), out.frame.payload.end());
    out.copied = true;
    out.frame.keep.reset();
  }
  lane.queue.push_back(std::move(out));
  leave_later(to, lane_class,
              lane_class == LaneClass::kExpress
                  ? Duration::zero()
                  : World::between(world_.scheduling, Duration::zero(), config_.base_latency));
}

void SimTransport::leave_later(PeerId to, LaneClass lane_class, Duration delay) {
  Lane& lane = lane_of(to, lane_class);
  if (lane.queue.empty() || std::exchange(lane.leaving, true)) return;
  world_.after(delay, [this, self = self_, &directory = directory_, to, lane_class] {
    directory.run(self, [this, to, lane_class] { leave(to, lane_class); });
  });
}

// The first frame of the queue goes; its payload is read now and not before.
void SimTransport::leave(PeerId to, LaneClass lane_class) {
  Lane& lane = lane_of(to, lane_class);
  lane.leaving = false;
  if (lane.queue.empty()) return;
  const Duration most = milliseconds(config_.run.suspicion_ms) / 4;  // of bytes that the kernel takes in advance
  if (const Duration backlog = network_.backlog(*lane.out); backlog > most)
    return leave_later(to, lane_class, backlog - most);
  if (!directory_.transport(index_of(to))) lane.sent.clear();
  lane.sent.push_back(std::move(lane.queue.front()));
  lane.queue.pop_front();
  Out& out = lane.sent.back();
  if (out.number == 0) out.number = ++lane.numbers;
  In in{through_codec(config_, out.frame.header, out.number), out.copy, out.number};
  if (!out.copied) in.payload.assign(out.frame.payload.begin(), out.frame.payload.end());
  ++counters_.sent_frames;
  counters_.sent_bytes += in.payload.size();
  const NodeIndex target = index_of(to);
  const bool done = in.header.kind == Kind::kDone;
  const size_t bytes = wire::kHeaderBytes + in.payload.size();
  network_.carry(lane.out, [&directory = directory_, target, from_index = self_, lane_class,
                            stream = lane.out, in = std::make_shared<In>(std::move(in))] {
    directory.run(target, [&directory, target, from_index, lane_class, stream, in] {
      if (stream->closed) return;  // broke while the receiver stood still
      if (SimTransport* there = directory.transport(target))
        there->arrive(directory.id_of(from_index), lane_class, std::move(*in));
    });
  }, bytes);
  if (done) directory_.reached(self_, Mark::kDoneSent);
  if (network_.is_cut(self_, target)) watch_cut(to);
  leave_later(to, lane_class,
              World::between(
                  world_.scheduling, Duration::zero(),
                  lane_class == LaneClass::kExpress ? Duration(1000) : config_.base_latency / 4));
}

// Credit that costs no message: the sender forgets the frame at once.
void SimTransport::consume(PeerId from, LaneClass lane_class, uint64_t number) {
  lane_of(from, lane_class).consumed = number;
  if (SimTransport* there = directory_.transport(index_of(from))) there->consumed(directory_.id_of(self_), lane_class, number);
}

void SimTransport::consumed(PeerId to, LaneClass lane_class, uint64_t number) {
  Lane& lane = lane_of(to, lane_class);
  while (!lane.sent.empty() && lane.sent.front().number <= number) lane.sent.pop_front();
}

void SimTransport::reset(PeerId to, LaneClass lane_class) {
  Lane& lane = lane_of(to, lane_class);
  SimTransport* there = directory_.transport(index_of(to));
  if (!there || network_.is_cut(self_, index_of(to))) return;
  lane.out->closed = true;
  lane.out = network_.open(self_, index_of(to));
  there->connection_lost(directory_.id_of(self_), lane_class);
  for (; !lane.sent.empty(); lane.sent.pop_back())
    lane.queue.push_front(std::move(lane.sent.back()));
  leave_later(to, lane_class, 2 * network_.latency(self_, index_of(to)));
}

void SimTransport::connection_lost(PeerId from, LaneClass lane_class) {
  Lane& lane = lane_of(from, lane_class);
  lane.arrived.resize(lane.landing ? 1 : 0);
  lane.held = false;
  lane.lost = lane.cancelled = lane.landing;
  lane.place = {};
}

// Frames of an op that is over, or of an epoch that is sealed.  Of one that has a number already,
// that is all that is sent again.
void SimTransport::drop(Lane& lane, const std::function<bool(const Out&)>& which) {
  std::erase_if(lane.queue, [&](const Out& out) { return out.number == 0 && which(out); });
  for (std::list<Out>* frames : {&lane.queue, &lane.sent}) {
    for (Out& out : *frames) {
      if (!which(out)) continue;
      out.frame.header.kind = Kind::kVoid;
      out.frame.header.length = 0;
      out.frame.payload = {};
      out.frame.keep.reset();
      out.copy.clear();
    }
  }
}

void SimTransport::arrive(PeerId from, LaneClass lane_class, In frame) {
  Lane& lane = lane_of(from, lane_class);
  if (frame.number <= lane.consumed) return;  // a duplicate
  if (config_.rate(Fault::kReplay) > 0 && is_op_frame(frame.header.kind)) {
    lane.past.push_back(frame);
    if (lane.past.size() > kPast) lane.past.pop_front();
  }
  lane.arrived.push_back(std::move(frame));
  offer(from, lane_class);
}

bool SimTransport::shut(PeerId from, LaneClass lane_class, Duration time) {
  if (std::exchange(lane_of(from, lane_class).shut, true)) return false;
  world_.after(time, [this, self = self_, &directory = directory_, from, lane_class] {
    directory.run(self, [this, from, lane_class] {
      lane_of(from, lane_class).shut = false;
      offer(from, lane_class);
    });
  });
  return true;
}

bool SimTransport::stalls(PeerId to) const {
  const auto at = peers_.find(to);
  if (at == peers_.end()) return false;
  return std::any_of(std::begin(at->second.lanes), std::end(at->second.lanes),
                     [](const auto& lane) { return lane && !lane->sent.empty(); });
}

bool SimTransport::replay(PeerId from, LaneClass lane_class, Epoch installed) {
  const StreamRef zombie = network_.open(index_of(from), self_);
  bool any = false;
  for (const In& frame : lane_of(from, lane_class).past) {
    if (frame.header.epoch >= installed) continue;  // a transport keeps those from coming twice
    any = true;
    network_.carry(zombie, [&directory = directory_, self = self_, from, frame] {
      directory.run(self, [&directory, self, from, frame] {
        if (SimTransport* here = directory.transport(self)) here->arrive_again(from, frame);
      });
    });
  }
  return any;
}

void SimTransport::arrive_again(PeerId from, const In& frame) {
  if (!names(from) || !events_) return void(++counters_.refused_frames);
  Landing place = events_->on_header(from, frame.header);
  const bool dropped = place.verdict == Landing::Verdict::kDrop;
  counters_.dropped_frames += dropped;
  directory_.replayed(self_, dropped);
  if (place.verdict != Landing::Verdict::kInto) return;
  if (!frame.payload.empty()) std::memcpy(place.into, frame.payload.data(), frame.payload.size());
  events_->on_frame(from, frame.header, std::move(place));
}

void SimTransport::offer_later(PeerId from, LaneClass lane_class, Duration delay) {
  Lane& lane = lane_of(from, lane_class);
  if (lane.scheduled || lane.arrived.empty()) return;
  lane.scheduled = true;
  world_.after(delay, [this, self = self_, &directory = directory_, from, lane_class] {
    directory.run(self, [this, from, lane_class] {
      lane_of(from, lane_class).scheduled = false;
      offer(from, lane_class);
    });
  });
}

// Shows headers upwards until the lane is empty, held or landing.
void SimTransport::offer(PeerId from, LaneClass lane_class) {
  Peer& sender = peer(from);
  Lane& lane = lane_of(from, lane_class);
  while (sender.named && !lane.shut && !lane.held && !lane.landing && !lane.arrived.empty() && events_) {
    In& frame = lane.arrived.front();
    if (frame.header.kind == Kind::kVoid) {
      consume(from, lane_class, frame.number);
      lane.arrived.pop_front();
      continue;
    }
    Landing place = events_->on_header(from, frame.header);
    if (place.verdict == Landing::Verdict::kHold) {
      lane.held = true;
      return;
    }
    if (place.verdict == Landing::Verdict::kDrop) {
      ++counters_.dropped_frames;
      consume(from, lane_class, frame.number);
      lane.arrived.pop_front();
      continue;
    }
    lane.landing = true;
    lane.cancelled = false;
    lane.place = std::move(place);
    const size_t half = frame.payload.size() / 2;
    if (half > 0) std::memcpy(lane.place.into, frame.payload.data(), half);
    // Half of the frames take their time, in which the epoch may be sealed.
    if (frame.payload.empty() || world_.scheduling.chance(0.5)) {
      land(from, lane_class);
      continue;
    }
    const Duration delay = World::between(world_.scheduling, Duration(1), config_.base_latency);
    world_.after(delay, [this, self = self_, &directory = directory_, from, lane_class] {
      directory.run(self, [this, from, lane_class] {
        land(from, lane_class);
        offer(from, lane_class);
      });
    });
  }
}

void SimTransport::land(PeerId from, LaneClass lane_class) {
  Lane& lane = lane_of(from, lane_class);
  RHZ_ASSERT("sim", lane.landing);
  lane.landing = false;
  Landing place = std::exchange(lane.place, {});
  if (std::exchange(lane.cancelled, false)) {
    // Quiesced meanwhile: the rest is read and forgotten.  Or the connection is gone: it comes
    // again.
    if (!std::exchange(lane.lost, false)) consume(from, lane_class, lane.arrived.front().number);
    lane.arrived.pop_front();
    return;
  }
  In frame = std::move(lane.arrived.front());
  lane.arrived.pop_front();
  consume(from, lane_class, frame.number);
  if (!frame.payload.empty()) std::memcpy(place.into, frame.payload.data(), frame.payload.size());
  maybe_flip(frame.header, place.into);
  ++counters_.received_frames;
  counters_.received_bytes += frame.payload.size();
  if (events_) events_->on_frame(from, frame.header, std::move(place));
}

void SimTransport::maybe_flip(const wire::FrameHeader& header, std::byte* payload) {
  if (!flip_ || header.kind != Kind::kResult || header.length == 0) return;
  const auto kind = static_cast<OpKind>(header.signature >> 60);
  if (kind != OpKind::kAllReduce && kind != OpKind::kAllGather && kind != OpKind::kBroadcast) return;
  payload[world_.faults.below(header.length)] ^= std::byte{1} << world_.faults.below(8);
  world_.trace("flipped", static_cast<int>(self_), header.op_seq.value, header.chunk.value);
  std::exchange(flip_, nullptr)(header);
}

bool SimTransport::quiesce() {
  for (auto& [id, known] : peers_) {
    for (const auto& lane : known.lanes) {
      if (!lane) continue;
      drop(*lane, [](const Out& out) { return is_op_frame(out.frame.header.kind); });
      // A landing of model state is of no epoch and goes on.
      if (lane->landing && is_op_frame(lane->arrived.front().header.kind)) {
        lane->cancelled = true;
        lane->place = {};
      }
    }
  }
  return true;
}

bool SimTransport::reads(const Out& out, GroupId group, OpSeq op) {
  const auto& header = out.frame.header;
  return reads_caller_memory(out) && is_op_frame(header.kind) && header.op_seq == op &&
         header.group == group;
}

void SimTransport::release_op(GroupId group, OpSeq op) {
  for (auto& [id, known] : peers_)
    for (const auto& lane : known.lanes)
      if (lane) drop(*lane, [&](const Out& out) { return reads(out, group, op); });
}

// As shared memory: until the receiver has it.
bool SimTransport::reads(GroupId group, OpSeq op) {
  for (auto& [id, known] : peers_) {
    const bool there = directory_.transport(index_of(id));
    for (const auto& lane : known.lanes) {
      if (!lane) continue;
      if (!there) lane->sent.clear();
      for (const std::list<Out>* frames : {&lane->queue, &lane->sent})
        for (const Out& out : *frames)
          if (reads(out, group, op)) return true;
    }
  }
  return false;
}

void SimTransport::resume() {
  for (auto& [id, known] : peers_) {
    for (LaneClass lane_class : {LaneClass::kExpress, LaneClass::kBulk}) {
      Lane* lane = known.lanes[static_cast<size_t>(lane_class)].get();
      if (!lane || !std::exchange(lane->held, false)) continue;
      offer_later(id, lane_class,
                  World::between(world_.scheduling, Duration(0), config_.base_latency / 8));
    }
  }
}

void SimTransport::close(Time, std::function<void()> closed) {
  for (auto& [id, known] : peers_) {
    if (!known.named) continue;
    const NodeIndex target = index_of(id);
    network_.carry(lane_of(id, LaneClass::kExpress).out, [&directory = directory_, target, from = self_] {
      directory.run(target, [&directory, target, from] {
        if (SimTransport* there = directory.transport(target))
          there->said_goodbye(directory.id_of(from));
      });
    });
  }
  closed();
}

Time SimTransport::tick(Time) { return kNever; }

void SimTransport::lost(PeerId id, Evidence evidence) {
  if (!names(id) || peer(id).told_down || peer(id).said_goodbye || !events_) return;
  peer(id).told_down = true;
  events_->on_edge_down(id, evidence);
}

void SimTransport::said_goodbye(PeerId id) {
  Peer& sender = peer(id);
  sender.said_goodbye = true;
  if (sender.named && events_) events_->on_goodbye(id);
}

std::string SimTransport::text() const {
  std::string text;
  for (const auto& [id, known] : peers_) {
    for (const auto& lane : known.lanes) {
      if (!lane || (lane->queue.empty() && lane->sent.empty() && lane->arrived.empty())) continue;
      const NodeIndex other = index_of(id);
      text += "\n      lane of p" + std::to_string(other) + ": waits " + std::to_string(lane->queue.size()) + " under way " + std::to_string(lane->sent.size()) +
              " arrived " + std::to_string(lane->arrived.size()) +
              " backlog " + std::to_string(network_.backlog(*lane->out).count() / 1000000) + " ms";
      for (const auto& [is, word] : {std::pair{network_.is_cut(self_, other), " cut"}, {known.told_down, " told"}, {known.watched, " watched"}, {!known.named, " not named"},
                                     {lane->held, " held"}, {lane->shut, " shut"}, {lane->landing, " landing"}, {lane->leaving, " leaving"}})
        if (is) text += word;
    }
  }
  return text;
}

void SimTransport::cut(PeerId to) {
  if (names(to) && stalls(to)) watch_cut(to);
}

// Something was sent that a cut holds up: the connection breaks, is not made, or stalls.
void SimTransport::watch_cut(PeerId id) {
  if (std::exchange(peer(id).watched, true)) return;
  const Duration suspicion = milliseconds(config_.run.suspicion_ms);
  const auto evidence = static_cast<Evidence>(3 + world_.latency.below(3));
  const Duration delay = World::between(world_.latency, suspicion / 2, 3 * suspicion);
  world_.after(delay, [this, self = self_, &directory = directory_, id, evidence] {
    directory.run(self, [this, id, evidence] {
      peer(id).watched = false;
      if (network_.is_cut(self_, index_of(id))) lost(id, evidence);
    });
  });
}

// Whoever names a process that is gone finds out: at once when it can be reached, else when the
// network heals.
void SimTransport::watch_death(PeerId id) {
  const NodeIndex target = index_of(id);
  if (directory_.transport(target)) return;
  const Duration delay =
      World::between(world_.latency, microseconds(100), 4 * config_.base_latency);
  world_.after(delay, [this, self = self_, &directory = directory_, id, target] {
    directory.run(self, [this, id, target] {
      if (!names(id)) return;
      if (network_.is_cut(self_, target) || network_.is_cut(target, self_))
        return world_.after(milliseconds(50), [this, self = self_, &directory = directory_, id] {
          directory.run(self, [this, id] { watch_death(id); });
        });
      // Every other pair shares a host, whose kernel tells them.
      lost(id, (self_ + target) % 2 == 0 ? Evidence::kDied : Evidence::kRefused);
    });
  });
}

}  // namespace rhz::sim
