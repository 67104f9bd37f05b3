#include "tests/explore/peer_rig.h"

#include <algorithm>
#include <cstring>

#include "collectives/schedule/layout.h"
#include "runtime/base/prng.h"

namespace rhz::explore {
namespace {

constexpr uint64_t kPoison = 0x5eed5eed5eed5eedull;  // what a program does with its buffers
constexpr uint32_t kEagerChunk = 64, kBulkChunk = 16u << 10;

enum Complaint : uint16_t { kNone, kTwice, kWrongValue, kLateWrite, kOtherNumber, kNoValue };

uint64_t input_of(uint32_t peer, uint32_t op, uint64_t element) {
  return mix64(mix64(peer * 1000 + op + 1) ^ element);
}

uint8_t set_of(const std::vector<Slot>& slots) {
  uint8_t set = 0;
  for (Slot slot : slots) set |= static_cast<uint8_t>(1u << slot.value);
  return set;
}

using PerChunk = std::array<uint8_t, kMaxChunks>;
void note(const std::vector<HeldRun>& held, PerChunk& lineage, PerChunk& left) {
  for (const HeldRun& run : held) {
    for (uint32_t c = run.first; c < run.first + run.count && c < kMaxChunks; ++c) {
      lineage[c] = static_cast<uint8_t>(run.lineage.value);
      left[c] = set_of(run.departed);
    }
  }
}

}  // namespace

std::string complaint_text(uint16_t what) {
  switch (what) {
    case kTwice: return "O4: an op returned twice";
    case kWrongValue: return "D2: a value is not the sum over its contributors";
    case kLateWrite: return "W8: a buffer was written to after the op had returned";
    case kOtherNumber: return "O4: an op has another number than its place in the program";
    case kNoValue: return "O3: an op returned with chunks missing";
    default: return "";
  }
}

PeerId id_of(uint32_t peer) { return {0x51, uint64_t{peer} + 1}; }

RunConfig run_config(const Options& options) {
  RunConfig run;
  run.run_id = "explore";
  run.world = run.max_world = options.peers;
  run.chunk_bytes = run.segment_bytes = options.bulk ? kBulkChunk : kEagerChunk;
  run.retain_bytes = options.retain ? 1u << 20 : 0;
  // Nobody is silent but who is dead, and that is an event of its own: no heartbeats.
  run.heartbeat_ms = 3'600'000;
  run.suspicion_ms = 1000;
  run.verify = Verify::kOff;
  return run;
}

// All chunks but the last are whole.
uint64_t elements_of(const Options& options) {
  const uint64_t chunk = (options.bulk ? kBulkChunk : kEagerChunk) / 8;
  return (options.chunks - 1) * chunk + 8;
}

struct PeerRig::Op final : OpCompletion {
  Op(PeerRig& rig, uint32_t op) : rig(rig), number(op) {}
  void released(const OpOutcome& outcome) override { rig.returned(*this, outcome); }
  void finalised(const Status&) override { rig.facts_.op[number].final = 1; }
  bool over() const { return rig.facts_.op[number].returned != 0; }

  PeerRig& rig;
  const uint32_t number;
  uint32_t chunks = 0;  // that were returned
  std::vector<uint64_t> input, output;
};

PeerRig::PeerRig(const Options& options, Messages& messages, uint32_t self)
    : options_(options), messages_(messages), self_(self) {
  NodeOptions node;
  node.run_id = "explore";
  node.self = {id_of(self), Slot(self), self, endpoints()};
  // What is said at once need not be said later.
  node.limits.done_delay = Duration::zero();
  // Longer than anything but a repetition takes: see kPatience.
  node.limits.quiet = node.timing.repeat = std::chrono::seconds(2);
  node_ = std::make_unique<Node>(
      std::move(node), [this] { return now_; }, *this, pool_, state_);
  for (uint32_t k = 0; k < options.ops; ++k) ops_.push_back(std::make_unique<Op>(*this, k));
}

PeerRig::~PeerRig() = default;

bool PeerRig::feed(const Event& event, Outs& outs) {
  now_ = event.now;
  outs_ = &outs;
  switch (event.kind) {
    case Kind::kStart: node_->control_up(now_); break;
    case Kind::kWord: node_->control(now_, messages_[event.message].word); break;
    case Kind::kEnd:
      node_->control_down(now_);
      if (!node_->ended()) node_->control_up(now_);
      break;
    case Kind::kFrame:
    case Kind::kHalf:
      if (!take_frame(event)) return false;
      break;
    case Kind::kRest: take_rest(event); break;
    case Kind::kEdgeDown:
      facts_.told |= static_cast<uint8_t>(1u << event.peer);
      events_->on_edge_down(id_of(event.peer), Evidence::kDied);
      break;
    case Kind::kBegin: may_submit_ = true; break;
    case Kind::kTick: break;
  }
  settle();
  look();
  return true;
}

bool PeerRig::take_frame(const Event& event) {
  const Message& frame = messages_[event.message];
  Landing place = events_->on_header(id_of(event.peer), frame.header);
  if (place.verdict == Landing::Verdict::kHold) return false;
  if (place.verdict == Landing::Verdict::kDrop) return true;
  const size_t bytes = event.kind == Kind::kHalf ? frame.payload.size() / 2 : frame.payload.size();
  if (bytes > 0) std::memcpy(place.into, frame.payload.data(), bytes);
  if (event.kind == Kind::kHalf) {
    facts_.landing |= 1u << lane_of(event.peer, event.lane);
    landing_[lane_of(event.peer, event.lane)] = std::move(place);
  } else {
    events_->on_frame(id_of(event.peer), frame.header, std::move(place));
  }
  return true;
}

void PeerRig::take_rest(const Event& event) {
  const Message& frame = messages_[event.message];
  Landing place = std::exchange(landing_[lane_of(event.peer, event.lane)], {});
  facts_.landing &= ~(1u << lane_of(event.peer, event.lane));
  std::memcpy(place.into, frame.payload.data(), frame.payload.size());
  events_->on_frame(id_of(event.peer), frame.header, std::move(place));
}

// What the driver does after each event: time, the program, control messages.
void PeerRig::settle() {
  Time next = node_->tick(now_);
  while (may_submit_ && submitted_ < ops_.size() && !node_->ended()) {
    submit_next();
    next = node_->tick(now_);
  }
  facts_.deadline = next == kNever ? INT64_MAX : std::max(next, now_ + microseconds(1)).count();
  for (const ControlMessage& message : node_->take_control())
    outs_->push_back({Out::Kind::kWord, 0, 0, messages_.word(message), 0});
}

// The next one follows when this one has returned.
void PeerRig::submit_next() {
  may_submit_ = false;
  Op& op = *ops_[submitted_++];
  facts_.op[op.number].begun = 1;
  const uint64_t count = elements_of(options_);
  for (uint64_t e = 0; e < count; ++e) op.input.push_back(input_of(self_, op.number, e));
  if (!options_.in_place) op.output.assign(count, 0);
  OpSpec spec;
  spec.dtype = reduce::Dtype::u64;
  spec.rebuild = options_.mode;
  spec.algorithm = Algorithm::kRing;
  spec.count = count;
  spec.send = reinterpret_cast<const std::byte*>(op.input.data());
  spec.recv = reinterpret_cast<std::byte*>(options_.in_place ? op.input.data() : op.output.data());
  node_->submit(now_, kRootGroup, spec, &op);
}

void PeerRig::returned(Op& op, const OpOutcome& outcome) {
  OpFacts& facts = facts_.op[op.number];
  if (facts.returned != 0) return complain(kTwice);
  facts.returned = static_cast<uint16_t>(1 + static_cast<int>(outcome.status.code()));
  if (outcome.status.is_ok()) {
    if (outcome.seq.value != op.number) complain(kOtherNumber);
    for (const ContributorRun& run : outcome.contributors()) {
      for (uint32_t c = run.first; c < run.first + run.count && c < kMaxChunks; ++c) {
        ++op.chunks;
        facts.from[c] |= set_of(run.slots);
      }
    }
    for (const auto& open : node_->communicator().open_ops())
      if (open.seq == outcome.seq) note(open.held, facts.made, facts.left);
    check_value(op, outcome);
  }
  std::fill(op.input.begin(), op.input.end(), kPoison);
  std::fill(op.output.begin(), op.output.end(), kPoison);
  may_submit_ = true;
}

void PeerRig::check_value(const Op& op, const OpOutcome&) {
  const OpFacts& facts = facts_.op[op.number];
  if (op.chunks != options_.chunks) return complain(kNoValue);
  const std::vector<uint64_t>& result = options_.in_place ? op.input : op.output;
  const Layout layout = make_layout(result.size(), 8, run_config(options_));
  for (uint64_t e = 0; e < result.size(); ++e) {
    const auto chunk = static_cast<size_t>(e / layout.chunk_elements);
    uint64_t sum = 0;
    for (uint32_t p = 0; p < options_.peers; ++p)
      if (facts.from[chunk] >> p & 1) sum += input_of(p, op.number, e);
    if (sum != result[e]) return complain(kWrongValue);
  }
}

void PeerRig::look() {
  const Groups& groups = node_->groups();
  facts_.seen = 0;
  for (const MemberInfo& member : node_->member().view().members)
    facts_.seen |= static_cast<uint8_t>(1u << (member.id.low - 1));
  facts_.ended = node_->ended();
  facts_.sealed = groups.sealed();
  facts_.idle = node_->idle();
  facts_.epoch = static_cast<uint32_t>(groups.epoch().value);
  for (OpFacts& op : facts_.op) op.held = op.held_left = {};
  if (!node_->ended())
    for (const auto& open : node_->communicator().open_ops())
      if (open.seq.value < kMaxOps)
        note(open.held, facts_.op[open.seq.value].held, facts_.op[open.seq.value].held_left);
  for (const auto& op : ops_) {
    if (!op->over()) continue;
    for (const auto* buffer : {&op->input, &op->output})
      if (std::any_of(buffer->begin(), buffer->end(), [](uint64_t w) { return w != kPoison; }))
        complain(kLateWrite);
  }
  for (Unread& frame : unread_) {
    const MessageId now = messages_.frame(frame.header, frame.payload.data(), frame.payload.size());
    if (std::exchange(frame.message, now) == now) continue;
    outs_->push_back({Out::Kind::kChanged, frame.to, frame.lane, now, frame.number});
  }
}

// ---- Transport

void PeerRig::set_peers(std::span<const PeerAddress> peers, std::span<const PeerId>) {
  facts_.named = facts_.told = 0;
  for (const PeerAddress& peer : peers)
    facts_.named |= static_cast<uint8_t>(1u << (peer.id.low - 1));
  std::erase_if(unread_, [&](const Unread& frame) { return !(facts_.named >> frame.to & 1); });
}

void PeerRig::send(PeerId to, LaneClass lane, OutFrame frame) {
  const auto peer = static_cast<uint8_t>(to.low - 1);
  const wire::Kind kind = frame.header.kind;
  const bool aside = kind == wire::Kind::kHeartbeat || kind == wire::Kind::kPing;  // changes no op
  if (!(facts_.named >> peer & 1) || aside) return;
  frame.header.run = wire::run_hash("explore");
  frame.header.length = static_cast<uint32_t>(frame.payload.size());
  const MessageId message =
      messages_.frame(frame.header, frame.payload.data(), frame.payload.size());
  Out out{Out::Kind::kFrame, peer, static_cast<uint8_t>(lane), message, 0};
  if (options_.late_read && lane == LaneClass::kBulk && !frame.keep && !frame.payload.empty()) {
    out.number = ++frames_;
    unread_.push_back({out.number, peer, out.lane, frame.header, frame.payload, message});
  }
  outs_->push_back(out);
}

bool PeerRig::quiesce() {
  for (const Unread& frame : unread_)
    outs_->push_back({Out::Kind::kTaken, frame.to, frame.lane, kEnd, frame.number});
  unread_.clear();
  // What is landing is read to its end and forgotten.
  facts_.landing = 0;
  landing_ = {};
  return true;
}

void PeerRig::release_op(GroupId, OpSeq op) {
  std::erase_if(unread_, [&](const Unread& frame) {
    if (frame.header.op_seq != op) return false;
    outs_->push_back({Out::Kind::kTaken, frame.to, frame.lane, kEnd, frame.number});
    return true;
  });
}

bool PeerRig::reads(GroupId, OpSeq op) {
  return std::any_of(unread_.begin(), unread_.end(),
                     [&](const Unread& f) { return f.header.op_seq == op; });
}

}  // namespace rhz::explore
