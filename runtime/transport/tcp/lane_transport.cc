#include "runtime/transport/tcp/lane_transport.h"

#include <algorithm>
#include <chrono>

#include "runtime/base/assert.h"

namespace rhz::tcp {
namespace {

// Without any deadline of its own the transport still wants to be asked so often: bytes may begin
// to wait meanwhile.
constexpr Duration kTickAtLeast = milliseconds(100);
constexpr Duration kClosingPoll = milliseconds(1);

}  // namespace

LaneTransport::LaneTransport(AsioLoop& loop, BufferPool& pool, const TcpOptions& options,
                             std::unique_ptr<LaneKinds> kinds, const Listener& listener,
                             std::vector<std::string> endpoints)
    : shared_(loop, pool, options),
      kinds_(std::move(kinds)),
      endpoints_(std::move(endpoints)),
      doorstep_(
          shared_, listener, [this](const LinkHello& hello) { return ask(hello); },
          [this](const LinkHello& hello, Connection&& connection) {
            links_.find(hello.sender)->second->adopt(hello, std::move(connection));
          }),
      timer_(loop.context()),
      alive_(std::make_shared<LaneTransport*>(this)) {
  shared_.wake_at = [this](Time when) { wake_at(when); };
}

LaneTransport::~LaneTransport() = default;

void LaneTransport::set_peers(std::span<const PeerAddress> peers,
                              std::span<const PeerId> likely_next) {
  RHZ_ASSERT("events before peers", shared_.events != nullptr);
  if (closing_) return;
  std::erase_if(links_, [&](const auto& entry) {
    return std::none_of(peers.begin(), peers.end(),
                        [&](const PeerAddress& peer) { return peer.id == entry.first; });
  });
  for (const PeerAddress& peer : peers) {
    if (peer.id == shared_.options.self) continue;
    auto& link = links_[peer.id];
    if (link) {
      link->named_again(peer);
    } else {
      link = std::make_unique<PeerLink>(shared_, *kinds_, peer);
    }
    if (!link->said_goodbye() && !peer.only_accept) link->open_express();
  }
  for (const PeerId next : likely_next)
    if (const auto found = links_.find(next); found != links_.end()) found->second->open_bulk();
  doorstep_.ask_again();
}

Doorstep::Answer LaneTransport::ask(const LinkHello& hello) const {
  if (closing_) return Doorstep::Answer::kRefuse;
  const auto found = links_.find(hello.sender);
  if (found == links_.end()) return Doorstep::Answer::kWait;
  return found->second->said_goodbye() ? Doorstep::Answer::kRefuse : Doorstep::Answer::kEnter;
}

void LaneTransport::send(PeerId to, LaneClass lane, OutFrame frame) {
  RHZ_ASSERT("a kind for data lanes",
             takes_number(frame.header.kind) || frame.header.kind == wire::Kind::kHeartbeat);
  RHZ_ASSERT("B1", frame.payload.size() <= wire::kMaxDataBytes);
  const auto found = links_.find(to);
  if (found == links_.end() || closing_) {
    ++shared_.counters.dropped_frames;
    return;
  }
  found->second->send(lane, std::move(frame));
}

bool LaneTransport::quiesce() {
  for (auto& [id, link] : links_) link->quiesce();
  return true;
}

void LaneTransport::release_op(GroupId group, OpSeq op) {
  for (auto& [id, link] : links_) link->release(group, op);
}

bool LaneTransport::reads(GroupId group, OpSeq op) {
  return std::any_of(links_.begin(), links_.end(),
                     [&](const auto& entry) { return entry.second->reads(group, op); });
}

void LaneTransport::resume() {
  for (auto& [id, link] : links_) link->resume();
}

void LaneTransport::close(Time deadline, std::function<void()> closed) {
  RHZ_ASSERT("closed once", !closing_);
  closing_ = true;
  close_deadline_ = deadline;
  closed_ = std::move(closed);
  for (auto& [id, link] : links_) link->finish();
  wake_at(shared_.loop.now() + kClosingPoll);
}

void LaneTransport::work_on_closing(Time now) {
  if (!closed_) return;
  const bool finished = std::all_of(links_.begin(), links_.end(),
                                    [](const auto& entry) { return entry.second->finished(); });
  if (!finished && now < close_deadline_) return wake_at(now + kClosingPoll);
  links_.clear();
  doorstep_.close();
  timer_.cancel();
  // Last: the layer above may destroy this transport now.
  const auto closed = std::exchange(closed_, nullptr);
  closed();
}

void LaneTransport::wake_at(Time when) {
  if (when >= timer_at_) return;
  timer_at_ = when;
  timer_.expires_at(asio::steady_timer::time_point(
      std::chrono::duration_cast<asio::steady_timer::duration>(when)));
  timer_.async_wait([alive = std::weak_ptr(alive_)](asio::error_code error) {
    if (error || alive.expired()) return;
    LaneTransport* const transport = *alive.lock();
    transport->timer_at_ = kNever;
    const Time now = transport->shared_.loop.now();
    const Time next = transport->tick(now);
    // The usual tick is left to the owner; closing may have ended the transport.
    if (next < now + kTickAtLeast && !alive.expired()) transport->wake_at(next);
  });
}

Time LaneTransport::tick(Time now) {
  Time next = std::min(now + kTickAtLeast, doorstep_.tick(now));
  for (auto& [id, link] : links_) next = std::min(next, link->tick(now));
  if (closed_) {
    next = std::min(next, now + kClosingPoll);
    work_on_closing(now);  // may end this object
  }
  return next;
}

TransportCounters LaneTransport::counters() const {
  TransportCounters counters = shared_.counters;
  for (const auto& [id, link] : links_) counters.queued_bytes += link->queued_bytes();
  return counters;
}

}  // namespace rhz::tcp
