// A transport of lanes on connections, of whatever kind.  A link is directed: the sender of a lane
// connects to the receiver; data flows one way, credits the other.  Owns the listener, and one
// PeerLink for each peer that set_peers named.  Progress thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

// Behind the standard library: Asio's configuration looks at what that has defined.
#include <asio/steady_timer.hpp>

#include "runtime/transport/tcp/doorstep.h"
#include "runtime/transport/tcp/peer_link.h"
#include "runtime/transport/tcp/shared.h"
#include "runtime/transport/tcp/socket.h"

namespace rhz::tcp {

class LaneTransport final : public Transport {
 public:
  LaneTransport(AsioLoop& loop, BufferPool& pool, const TcpOptions& options,
                std::unique_ptr<LaneKinds> kinds, const Listener& listener,
                std::vector<std::string> endpoints);
  ~LaneTransport() override;

  void set_events(TransportEvents* events) override { shared_.events = events; }
  std::vector<std::string> endpoints() const override { return endpoints_; }
  void set_peers(std::span<const PeerAddress> peers, std::span<const PeerId> likely_next) override;
  void send(PeerId to, LaneClass lane, OutFrame frame) override;
  bool quiesce() override;
  void release_op(GroupId group, OpSeq op) override;
  bool reads(GroupId group, OpSeq op) override;
  void resume() override;
  void close(Time deadline, std::function<void()> closed) override;
  Time tick(Time now) override;
  bool poll() override { return kinds_->poll(); }
  bool arm() override { return kinds_->arm(); }
  bool polled() const override { return kinds_->polled(); }
  TransportCounters counters() const override;

 private:
  Doorstep::Answer ask(const LinkHello& hello) const;
  void wake_at(Time when);
  void work_on_closing(Time now);

  Shared shared_;
  const std::unique_ptr<LaneKinds> kinds_;  // outlives the lanes
  const std::vector<std::string> endpoints_;
  std::unordered_map<PeerId, std::unique_ptr<PeerLink>> links_;
  Doorstep doorstep_;
  asio::steady_timer timer_;
  Time timer_at_ = kNever;
  bool closing_ = false;
  Time close_deadline_ = kNever;
  std::function<void()> closed_;
  std::shared_ptr<LaneTransport*> alive_;  // for what the loop still holds when this is destroyed
};

}  // namespace rhz::tcp
