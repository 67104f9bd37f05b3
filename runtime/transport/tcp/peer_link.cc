#include "runtime/transport/tcp/peer_link.h"

#include <algorithm>

namespace rhz::tcp {

PeerLink::PeerLink(Shared& shared, LaneKinds& kinds, const PeerAddress& peer)
    : shared_(shared),
      kinds_(kinds),
      edge_(std::make_shared<Edge>(shared, peer.id)),
      addresses_(kinds.addresses(shared, peer.endpoints)),
      out_(1 + shared.options.bulk_lanes) {}

PeerLink::~PeerLink() {
  // One of them may be in the middle of telling the layer above of a frame, and live on for that
  // long.
  for (auto& [number, lane] : in_)
    if (lane) lane->end();  // none where there was no memory for it
}

Outgoing& PeerLink::out_lane(uint32_t number) {
  auto& lane = out_[number];
  if (!lane) lane = kinds_.outgoing(shared_, *edge_, addresses_, number);
  return *lane;
}

void PeerLink::named_again(const PeerAddress& peer) {
  const bool moved = peer.endpoints != addresses_->endpoints();
  if (!edge_->suspected() && !moved) return;
  edge_->named_anew();
  if (moved) addresses_ = kinds_.addresses(shared_, peer.endpoints);
  for (auto& lane : out_)
    if (lane) lane->named_anew(addresses_);
}

void PeerLink::open_bulk() {
  for (uint32_t i = 1; i < out_.size(); ++i) out_lane(i).open();
}

void PeerLink::send(LaneClass lane, OutFrame&& frame) {
  if (edge_->said_goodbye()) {
    ++shared_.counters.dropped_frames;
    return;
  }
  uint32_t number = 0;
  if (lane == LaneClass::kBulk) {
    number = 1 + next_bulk_;
    next_bulk_ = (next_bulk_ + 1) % shared_.options.bulk_lanes;
  }
  out_lane(number).send(std::move(frame));
}

void PeerLink::adopt(const LinkHello& hello, Connection&& connection) {
  auto& lane = in_[hello.lane];
  if (!lane || lane->generation() != hello.generation) {
    if (lane) lane->end();
    // Is the process still there?  The express lane in the other direction finds out, unless it
    // knows already.
    lane = kinds_.incoming(shared_, *edge_, hello.lane, hello.generation,
                            [this] { open_express(); });
  }
  lane->attach(std::move(connection));
}

void PeerLink::quiesce() {
  for (auto& lane : out_)
    if (lane) lane->quiesce();
  for (auto& [number, lane] : in_) lane->quiesce();
}

void PeerLink::release(GroupId group, OpSeq op) {
  for (auto& lane : out_)
    if (lane) lane->release(group, op);
}

bool PeerLink::reads(GroupId group, OpSeq op) {
  return std::any_of(out_.begin(), out_.end(),
                     [&](const auto& lane) { return lane && lane->reads(group, op); });
}

void PeerLink::resume() {
  for (auto& [number, lane] : in_) lane->resume();
}

void PeerLink::finish() {
  for (auto& lane : out_)
    if (lane) lane->finish();
  for (auto& [number, lane] : in_) lane->finish();
}

bool PeerLink::finished() const {
  return std::all_of(out_.begin(), out_.end(),
                     [](const auto& lane) { return !lane || lane->finished(); }) &&
         std::all_of(in_.begin(), in_.end(),
                     [](const auto& entry) { return entry.second->finished(); });
}

size_t PeerLink::queued_bytes() const {
  size_t bytes = 0;
  for (const auto& lane : out_)
    if (lane) bytes += lane->queued_bytes();
  return bytes;
}

Time PeerLink::tick(Time now) {
  Time next = kNever;
  for (auto& lane : out_)
    if (lane) next = std::min(next, lane->tick(now));
  for (auto& [number, lane] : in_) next = std::min(next, lane->tick(now));
  return next;
}

}  // namespace rhz::tcp
