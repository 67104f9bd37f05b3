// Opens the transport on TCP.
#include "runtime/transport/tcp/in_lane.h"
#include "runtime/transport/tcp/lane_transport.h"
#include "runtime/transport/tcp/listening.h"
#include "runtime/transport/tcp/out_lane.h"

namespace rhz::tcp {
namespace {

class TcpLanes final : public LaneKinds {
 public:
  std::shared_ptr<PeerAddresses> addresses(Shared& shared,
                                           const std::vector<std::string>& endpoints) override {
    return PeerAddresses::make(shared, endpoints);
  }
  std::unique_ptr<Outgoing> outgoing(Shared& shared, Edge& edge,
                                     std::shared_ptr<PeerAddresses> addresses,
                                     uint32_t number) override {
    return std::make_unique<OutLane>(shared, edge, std::move(addresses), number);
  }
  std::shared_ptr<Incoming> incoming(Shared& shared, Edge& edge, uint32_t number,
                                     uint64_t generation, std::function<void()> lost) override {
    return std::make_shared<InLane>(shared, edge, number, generation, std::move(lost));
  }
};

}  // namespace
}  // namespace rhz::tcp

namespace rhz {

Result<std::unique_ptr<Transport>> open_tcp(AsioLoop& loop, BufferPool& pool,
                                            const TcpOptions& options) {
  if (!options.self.valid()) return Status(Code::kArgument, "a transport needs a peer id");
  const auto listener = tcp::listen_for_lanes(options);
  if (!listener) return listener.status();
  return std::unique_ptr<Transport>(std::make_unique<tcp::LaneTransport>(
      loop, pool, options, std::make_unique<tcp::TcpLanes>(), listener.value(),
      tcp::endpoints_of(options, listener.value().address)));
}

}  // namespace rhz
