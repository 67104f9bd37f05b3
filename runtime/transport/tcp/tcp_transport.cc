#include "runtime/transport/tcp/tcp_transport.h"

#include <algorithm>
#include <chrono>

#include "runtime/base/assert.h"

namespace rhz::tcp {
namespace {

// Without any deadline of its own the transport still wants to be asked so often: bytes may begin
// to wait meanwhile.
constexpr Duration kTickAtLeast = milliseconds(100);
constexpr Duration kClosingPoll = milliseconds(1);

std::vector<std::string> endpoints_of(const TcpOptions& options, const SocketAddress& bound) {
  std::vector<std::string> endpoints;
  for (const std::string& text : options.advertise) {
    const auto where = parse_address(text);
    const bool any_port = where && where.value().port == 0;
    endpoints.push_back(any_port ? address_text(where.value().host, bound.port()) : text);
  }
  if (!endpoints.empty()) return endpoints;
  if (!bound.is_any()) return {bound.text()};
  for (SocketAddress address : interface_addresses(bound.family() == AF_INET6)) {
    address.set_port(bound.port());
    endpoints.push_back(address.text());
  }
  return endpoints;
}

// A name may be one that only others can resolve.
Status check_advertised(const std::string& text) {
  const auto where = parse_address(text);
  if (!where) return where.status();
  const auto numbers = resolve(where.value(), Lookup::kNumbersOnly);
  const bool everywhere = where.value().host.empty() ||
                          (numbers && !numbers.value().empty() && numbers.value().front().is_any());
  if (!everywhere) return Status::ok();
  return {Code::kArgument,
          "'" + text + "' cannot be advertised: others need one address of this host"};
}

}  // namespace

TcpTransport::TcpTransport(AsioLoop& loop, BufferPool& pool, const TcpOptions& options,
                           const Listener& listener, std::vector<std::string> endpoints)
    : shared_(loop, pool, options),
      endpoints_(std::move(endpoints)),
      doorstep_(
          shared_, listener, [this](const LinkHello& hello) { return ask(hello); },
          [this](const LinkHello& hello, Connection&& connection) {
            links_.find(hello.sender)->second->adopt(hello, std::move(connection));
          }),
      timer_(loop.context()),
      alive_(std::make_shared<TcpTransport*>(this)) {
  shared_.wake_at = [this](Time when) { wake_at(when); };
}

TcpTransport::~TcpTransport() = default;

void TcpTransport::set_peers(std::span<const PeerAddress> peers,
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
      link = std::make_unique<PeerLink>(shared_, peer);
    }
    if (!link->said_goodbye()) link->open_express();
  }
  for (const PeerId next : likely_next)
    if (const auto found = links_.find(next); found != links_.end()) found->second->open_bulk();
  doorstep_.ask_again();
}

Doorstep::Answer TcpTransport::ask(const LinkHello& hello) const {
  if (closing_) return Doorstep::Answer::kRefuse;
  const auto found = links_.find(hello.sender);
  if (found == links_.end()) return Doorstep::Answer::kWait;
  return found->second->said_goodbye() ? Doorstep::Answer::kRefuse : Doorstep::Answer::kEnter;
}

void TcpTransport::send(PeerId to, LaneClass lane, OutFrame frame) {
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

bool TcpTransport::quiesce() {
  for (auto& [id, link] : links_) link->quiesce();
  return true;
}

void TcpTransport::release_op(GroupId group, OpSeq op) {
  for (auto& [id, link] : links_) link->release(group, op);
}

void TcpTransport::resume() {
  for (auto& [id, link] : links_) link->resume();
}

void TcpTransport::close(Time deadline, std::function<void()> closed) {
  RHZ_ASSERT("closed once", !closing_);
  closing_ = true;
  close_deadline_ = deadline;
  closed_ = std::move(closed);
  for (auto& [id, link] : links_) link->finish();
  wake_at(shared_.loop.now() + kClosingPoll);
}

void TcpTransport::work_on_closing(Time now) {
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

void TcpTransport::wake_at(Time when) {
  if (when >= timer_at_) return;
  timer_at_ = when;
  timer_.expires_at(asio::steady_timer::time_point(
      std::chrono::duration_cast<asio::steady_timer::duration>(when)));
  timer_.async_wait([alive = std::weak_ptr(alive_)](asio::error_code error) {
    if (error || alive.expired()) return;
    TcpTransport* const transport = *alive.lock();
    transport->timer_at_ = kNever;
    const Time now = transport->shared_.loop.now();
    const Time next = transport->tick(now);
    // The usual tick is left to the owner; closing may have ended the transport.
    if (next < now + kTickAtLeast && !alive.expired()) transport->wake_at(next);
  });
}

Time TcpTransport::tick(Time now) {
  Time next = std::min(now + kTickAtLeast, doorstep_.tick(now));
  for (auto& [id, link] : links_) next = std::min(next, link->tick(now));
  if (closed_) {
    next = std::min(next, now + kClosingPoll);
    work_on_closing(now);  // may end this object
  }
  return next;
}

TransportCounters TcpTransport::counters() const {
  TransportCounters counters = shared_.counters;
  for (const auto& [id, link] : links_) counters.queued_bytes += link->queued_bytes();
  return counters;
}

}  // namespace rhz::tcp

namespace rhz {

Result<std::unique_ptr<Transport>> open_tcp(AsioLoop& loop, BufferPool& pool,
                                            const TcpOptions& options) {
  if (!options.self.valid()) return Status(Code::kArgument, "a transport needs a peer id");
  if (options.bulk_lanes == 0 || options.bulk_lanes >= tcp::kMaxLanes)
    return Status(Code::kArgument, "bulk_lanes must be 1 to 15");
  for (const std::string& text : options.advertise)
    if (Status status = tcp::check_advertised(text); !status) return status;
  const auto listener = tcp::listen_on(options);
  if (!listener) return listener.status();
  return std::unique_ptr<Transport>(std::make_unique<tcp::TcpTransport>(
      loop, pool, options, listener.value(), tcp::endpoints_of(options, listener.value().address)));
}

}  // namespace rhz
