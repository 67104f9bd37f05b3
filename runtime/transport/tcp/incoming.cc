#include "runtime/transport/tcp/incoming.h"

#include "runtime/base/assert.h"
#include "runtime/transport/tcp/send_queue.h"

namespace rhz::tcp {
namespace {

bool may_arrive(wire::Kind kind) {
  return takes_number(kind) || kind == wire::Kind::kHeartbeat || kind == wire::Kind::kGoodbye;
}

}  // namespace

Incoming::Incoming(Shared& shared, Edge& edge, uint32_t number, uint64_t generation,
                   std::function<void()> lost)
    : shared_(shared),
      edge_(edge),
      number_(number),
      lost_(std::move(lost)),
      generation_(generation) {}

void Incoming::drop_connection() {
  ++connection_count_;
  connection_.close();
  arriving_ = held_ = false;
  arrival_ = {};
}

// Checks a header (D1) and asks where its payload goes.
bool Incoming::begin(const wire::FrameHeader& header) {
  const bool numbered = takes_number(header.kind);
  if (!may_arrive(header.kind) || header.run != shared_.options.run_hash ||
      (!numbered && (header.lane_seq != 0 || header.length != 0)))
    return refuse();
  if (header.kind == wire::Kind::kGoodbye) {
    send_credit();
    edge_.heard_goodbye();
    return true;
  }
  arrival_ = {.header = header, .landing = {}, .got = 0, .silent = false};
  arriving_ = true;
  if (numbered && !in_sequence(header)) return false;
  if (finishing_ || header.kind == wire::Kind::kVoid) arrival_.silent = true;
  return arrival_.silent || offer();
}

bool Incoming::in_sequence(const wire::FrameHeader& header) {
  if (header.lane_seq > consumed_ + 1 || header.lane_seq == 0) return refuse();
  if (header.lane_seq <= consumed_) arrival_.silent = true;  // a duplicate
  return true;
}

bool Incoming::offer() {
  const uint64_t connection = connection_count_;
  Landing landing = shared_.events->on_header(edge_.peer(), arrival_.header);
  if (connection != connection_count_) return false;
  held_ = landing.verdict == Landing::Verdict::kHold;
  RHZ_ASSERT("a place for the payload", landing.verdict != Landing::Verdict::kInto ||
                                            landing.into || arrival_.header.length == 0);
  arrival_.landing = std::move(landing);
  return true;
}

bool Incoming::complete() {
  const uint64_t connection = connection_count_;
  const wire::FrameHeader header = arrival_.header;
  arriving_ = false;
  ++shared_.counters.received_frames;
  if (arrival_.landing.verdict == Landing::Verdict::kInto) {
    shared_.events->on_frame(edge_.peer(), header, std::move(arrival_.landing));
  } else if (header.kind != wire::Kind::kVoid) {
    ++shared_.counters.dropped_frames;
  }
  // Consumed, even if the layer above has ended this connection meanwhile.
  const bool advances = takes_number(header.kind) && header.lane_seq == consumed_ + 1;
  if (advances) consumed_ = header.lane_seq;
  if (connection != connection_count_) return false;
  arrival_.landing = {};
  if (advances) count_consumed(header);
  return true;
}

bool Incoming::pass(const wire::FrameHeader& header) {
  if (header.run != shared_.options.run_hash || header.lane_seq != 0 || header.length != 0)
    return false;
  ++shared_.counters.received_frames;
  if (finishing_) return true;
  const auto self = shared_from_this();
  Landing landing = shared_.events->on_header(edge_.peer(), header);
  if (landing.verdict == Landing::Verdict::kInto)
    shared_.events->on_frame(edge_.peer(), header, std::move(landing));
  return true;
}

// A frame that no peer of this run sends: the connection ends; an honest sender resumes the lane.
bool Incoming::refuse() {
  ++shared_.counters.refused_frames;
  drop_connection();
  return false;
}

void Incoming::quiesce() {
  if (!arriving_ || held_ || arrival_.landing.verdict != Landing::Verdict::kInto) return;
  // Model state on its way to the runtime's own memory goes on.
  const bool op_frame = wire::is_op_frame(arrival_.header.kind);
  if (op_frame || !arrival_.landing.keep) arrival_.landing = {};
}

void Incoming::resume() {
  if (!held_) return;
  shared_.post(weak_from_this(), [](Incoming& lane) {
    if (!lane.held_) return;
    const auto self = lane.shared_from_this();
    lane.held_ = false;
    if (lane.offer() && !lane.held_) lane.go_on();
  });
}

void Incoming::finish() {
  if (finishing_) return;
  finishing_ = true;
  if (!connection_) return;
  if (arriving_) {
    arrival_.landing = {};
    arrival_.silent = true;
  }
  send_credit();
  say_goodbye();
  if (!held_) return;
  held_ = false;
  go_on();
}

}  // namespace rhz::tcp
