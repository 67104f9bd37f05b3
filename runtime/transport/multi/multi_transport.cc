#include "runtime/transport/multi/multi_transport.h"

#include <algorithm>

#include "runtime/base/assert.h"

namespace rhz {

MultiTransport::MultiTransport(std::vector<Way> ways) : ways_(std::move(ways)) {
  RHZ_ASSERT("a way for everybody", !ways_.empty() && !ways_.back().reaches);
  for (size_t i = 0; i < ways_.size(); ++i) {
    ears_.push_back(std::make_unique<Ear>(*this, i));
    ways_[i].transport->set_events(ears_[i].get());
  }
}

std::vector<std::string> MultiTransport::endpoints() const {
  std::vector<std::string> all;
  for (auto way = ways_.rbegin(); way != ways_.rend(); ++way)
    for (std::string& endpoint : way->transport->endpoints()) all.push_back(std::move(endpoint));
  return all;
}

size_t MultiTransport::choose(const PeerAddress& peer) const {
  const auto at = std::find_if(ways_.begin(), ways_.end(),
                               [&](const Way& way) { return !way.reaches || way.reaches(peer); });
  return static_cast<size_t>(at - ways_.begin());
}

void MultiTransport::set_peers(std::span<const PeerAddress> peers,
                               std::span<const PeerId> likely_next) {
  std::erase_if(peers_, [&](const auto& entry) {
    return std::none_of(peers.begin(), peers.end(),
                        [&](const PeerAddress& peer) { return peer.id == entry.first; });
  });
  for (const PeerAddress& peer : peers) {
    const auto [at, unknown] = peers_.try_emplace(peer.id);
    if (!unknown && at->second.endpoints == peer.endpoints) continue;
    at->second.endpoints = peer.endpoints;
    at->second.way = choose(peer);
  }
  for (size_t i = 0; i < ways_.size(); ++i) {
    std::vector<PeerAddress> theirs(peers.begin(), peers.end());
    for (PeerAddress& peer : theirs) peer.only_accept |= peers_[peer.id].way != i;
    std::vector<PeerId> next;
    for (const PeerId id : likely_next)
      if (const auto at = peers_.find(id); at != peers_.end() && at->second.way == i)
        next.push_back(id);
    ways_[i].transport->set_peers(theirs, next);
  }
}

void MultiTransport::send(PeerId to, LaneClass lane, OutFrame frame) {
  const auto at = peers_.find(to);
  // The last one counts what is dropped.
  Way& way = at == peers_.end() ? ways_.back() : ways_[at->second.way];
  way.transport->send(to, lane, std::move(frame));
}

bool MultiTransport::quiesce() {
  bool quiet = true;
  for (Way& way : ways_) quiet &= way.transport->quiesce();
  return quiet;
}

void MultiTransport::release_op(GroupId group, OpSeq op) {
  for (Way& way : ways_) way.transport->release_op(group, op);
}

bool MultiTransport::reads(GroupId group, OpSeq op) {
  return std::any_of(ways_.begin(), ways_.end(),
                     [&](Way& way) { return way.transport->reads(group, op); });
}

void MultiTransport::resume() {
  for (Way& way : ways_) way.transport->resume();
}

void MultiTransport::close(Time deadline, std::function<void()> closed) {
  open_ = ways_.size();
  const auto done = std::make_shared<std::function<void()>>(std::move(closed));
  for (Way& way : ways_) {
    way.transport->close(deadline, [this, done] {
      if (--open_ == 0) (*done)();  // may end this object
    });
  }
}

Time MultiTransport::tick(Time now) {
  const std::weak_ptr<bool> alive = alive_;
  Time next = kNever;
  for (size_t i = 0; i < ways_.size(); ++i) {
    next = std::min(next, ways_[i].transport->tick(now));
    if (alive.expired()) return next;  // that was the end of closing
  }
  return next;
}

bool MultiTransport::poll() {
  bool moved = false;
  for (Way& way : ways_) moved |= way.transport->poll();
  return moved;
}

bool MultiTransport::polled() const {
  return std::any_of(ways_.begin(), ways_.end(),
                     [](const Way& way) { return way.transport->polled(); });
}

bool MultiTransport::arm() {
  return std::all_of(ways_.begin(), ways_.end(), [](Way& way) { return way.transport->arm(); });
}

TransportCounters MultiTransport::counters() const {
  TransportCounters sum;
  for (const Way& way : ways_) {
    const TransportCounters c = way.transport->counters();
    sum.sent_frames += c.sent_frames;
    sum.sent_bytes += c.sent_bytes;
    sum.received_frames += c.received_frames;
    sum.received_bytes += c.received_bytes;
    sum.refused_connections += c.refused_connections;
    sum.refused_frames += c.refused_frames;
    sum.dropped_frames += c.dropped_frames;
    sum.reconnects += c.reconnects;
    sum.queued_bytes += c.queued_bytes;
  }
  return sum;
}

Landing MultiTransport::Ear::on_header(PeerId from, const wire::FrameHeader& header) {
  return owner.events_->on_header(from, header);
}

void MultiTransport::Ear::on_frame(PeerId from, const wire::FrameHeader& header,
                                   Landing&& landing) {
  owner.events_->on_frame(from, header, std::move(landing));
}

// Said once: by the way that this peer sends on.  The kernel's word counts whoever heard it.
void MultiTransport::Ear::on_edge_down(PeerId peer, Evidence evidence) {
  const auto at = owner.peers_.find(peer);
  if (at == owner.peers_.end() || at->second.said_goodbye) return;
  if (at->second.way != way && evidence != Evidence::kDied) return;
  owner.events_->on_edge_down(peer, evidence);
}

void MultiTransport::Ear::on_goodbye(PeerId peer) {
  const auto at = owner.peers_.find(peer);
  if (at == owner.peers_.end() || std::exchange(at->second.said_goodbye, true)) return;
  owner.events_->on_goodbye(peer);
}

}  // namespace rhz
