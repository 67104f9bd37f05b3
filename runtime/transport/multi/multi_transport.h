// Several transports as one: each peer is sent to by the best of them that reaches it, and heard on
// all of them.  Lanes are directed, so either side chooses for itself.  Progress thread only.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "runtime/transport/transport.h"

namespace rhz {

class MultiTransport final : public Transport {
 public:
  struct Way {
    std::unique_ptr<Transport> transport;
    // Asked once per peer, when it is named first, and again when it is named with other endpoints:
    // frames of a lane never change their way.  Empty: it reaches everybody.
    std::function<bool(const PeerAddress&)> reaches;
  };
  // Best first; the last one takes whom no other reaches.
  explicit MultiTransport(std::vector<Way> ways);

  void set_events(TransportEvents* events) override { events_ = events; }
  std::vector<std::string> endpoints() const override;  // of the last way first
  void set_peers(std::span<const PeerAddress> peers, std::span<const PeerId> likely_next) override;
  void send(PeerId to, LaneClass lane, OutFrame frame) override;
  bool quiesce() override;
  void release_op(GroupId group, OpSeq op) override;
  bool reads(GroupId group, OpSeq op) override;
  void resume() override;
  void close(Time deadline, std::function<void()> closed) override;
  Time tick(Time now) override;
  bool poll() override;
  bool arm() override;
  bool polled() const override;
  TransportCounters counters() const override;

 private:
  // Hears one of the ways.
  struct Ear final : TransportEvents {
    Ear(MultiTransport& the_owner, size_t the_way) : owner(the_owner), way(the_way) {}
    Landing on_header(PeerId from, const wire::FrameHeader& header) override;
    void on_frame(PeerId from, const wire::FrameHeader& header, Landing&& landing) override;
    void on_edge_down(PeerId peer, Evidence evidence) override;
    void on_goodbye(PeerId peer) override;
    MultiTransport& owner;
    const size_t way;
  };
  struct Peer {
    size_t way = 0;
    std::vector<std::string> endpoints;
    bool said_goodbye = false;
  };
  size_t choose(const PeerAddress& peer) const;

  TransportEvents* events_ = nullptr;
  std::unordered_map<PeerId, Peer> peers_;
  std::vector<std::unique_ptr<Ear>> ears_;
  std::vector<Way> ways_;  // end first: they hear until then
  size_t open_ = 0;        // ways that are not closed yet
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace rhz
