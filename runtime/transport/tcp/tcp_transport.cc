// Opens the transport on TCP.
#include "runtime/transport/tcp/in_lane.h"
#include "runtime/transport/tcp/lane_transport.h"
#include "runtime/transport/tcp/out_lane.h"
#include "runtime/transport/tcp/socket.h"

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
  return std::unique_ptr<Transport>(std::make_unique<tcp::LaneTransport>(
      loop, pool, options, std::make_unique<tcp::TcpLanes>(), listener.value(),
      tcp::endpoints_of(options, listener.value().address)));
}

}  // namespace rhz
