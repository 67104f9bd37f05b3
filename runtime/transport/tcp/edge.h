// What is known of one peer's process, gathered from all its lanes, and told upwards once. Progress
// thread only.
#pragma once

#include <memory>

#include "runtime/transport/tcp/shared.h"

namespace rhz::tcp {

class Edge : public std::enable_shared_from_this<Edge> {
 public:
  Edge(Shared& shared, PeerId peer) : shared_(shared), peer_(peer) {}

  PeerId peer() const { return peer_; }
  // on_edge_down, at most once until named_anew() but for kDied, and never for one that said GOODBYE.
  void suspect(Evidence evidence);
  bool suspected() const { return suspected_; }
  void named_anew() { suspected_ = died_ = false; }
  void heard_goodbye();
  bool said_goodbye() const { return said_goodbye_; }

 private:
  Shared& shared_;
  const PeerId peer_;
  bool suspected_ = false, died_ = false;
  bool said_goodbye_ = false;
};

}  // namespace rhz::tcp
