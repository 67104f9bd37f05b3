// How one kind of transport carries its lanes; the lanes' own rules are the same for all of them.
// Progress thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/transport/tcp/incoming.h"
#include "runtime/transport/tcp/outgoing.h"

namespace rhz::tcp {

class LaneKinds {
 public:
  virtual ~LaneKinds() = default;
  virtual std::shared_ptr<PeerAddresses> addresses(Shared& shared,
                                                   const std::vector<std::string>& endpoints) = 0;
  virtual std::unique_ptr<Outgoing> outgoing(Shared& shared, Edge& edge,
                                             std::shared_ptr<PeerAddresses> addresses,
                                             uint32_t number) = 0;
  virtual std::shared_ptr<Incoming> incoming(Shared& shared, Edge& edge, uint32_t number,
                                             uint64_t generation, std::function<void()> lost) = 0;
  // As in Transport.
  virtual bool poll() { return false; }
  virtual bool arm() { return true; }
  virtual bool polled() const { return false; }
};

}  // namespace rhz::tcp
