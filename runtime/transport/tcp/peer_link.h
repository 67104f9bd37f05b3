// All lanes to and from one peer.  Owner: TcpTransport.  Progress thread only.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "runtime/transport/tcp/edge.h"
#include "runtime/transport/tcp/handshake.h"
#include "runtime/transport/tcp/lane_kinds.h"
#include "runtime/transport/tcp/shared.h"

namespace rhz::tcp {

class PeerLink {
 public:
  PeerLink(Shared& shared, LaneKinds& kinds, const PeerAddress& peer);
  ~PeerLink();

  void named_again(const PeerAddress& peer);
  void open_express() { out_lane(0).open(); }
  void open_bulk();
  void send(LaneClass lane, OutFrame&& frame);
  bool said_goodbye() const { return edge_->said_goodbye(); }
  // A connection of this peer, its hello checked.
  void adopt(const LinkHello& hello, Connection&& connection);

  void quiesce();
  void release(GroupId group, OpSeq op);
  bool reads(GroupId group, OpSeq op);
  void resume();
  void finish();
  bool finished() const;

  size_t queued_bytes() const;
  Time tick(Time now);

 private:
  Outgoing& out_lane(uint32_t number);

  Shared& shared_;
  LaneKinds& kinds_;
  const std::shared_ptr<Edge> edge_;
  std::shared_ptr<PeerAddresses> addresses_;
  std::vector<std::unique_ptr<Outgoing>> out_;       // by number; made when first used
  std::map<uint32_t, std::shared_ptr<Incoming>> in_;  // by number, at most kMaxLanes
  uint32_t next_bulk_ = 0;
};

}  // namespace rhz::tcp
