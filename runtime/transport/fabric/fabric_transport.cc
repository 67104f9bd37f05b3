// Opens a transport over UCX or libfabric.
#include <dirent.h>

#include "runtime/transport/fabric/fabric_options.h"
#include "runtime/transport/fabric/in_lane.h"
#include "runtime/transport/fabric/module.h"
#include "runtime/transport/fabric/out_lane.h"
#include "runtime/transport/open.h"
#include "runtime/transport/tcp/lane_transport.h"
#include "runtime/transport/tcp/listening.h"

namespace rhz::fabric {
namespace {

class FabricLanes final : public tcp::LaneKinds {
 public:
  FabricLanes(AsioLoop& loop, std::unique_ptr<Fabric> fabric, std::string_view scheme)
      : pump_(loop, std::move(fabric)), scheme_(scheme) {}

  std::shared_ptr<tcp::PeerAddresses> addresses(
      tcp::Shared& shared, const std::vector<std::string>& endpoints) override {
    pump_.use(shared);
    return tcp::PeerAddresses::make(shared, endpoints, scheme_);
  }
  std::unique_ptr<tcp::Outgoing> outgoing(tcp::Shared& shared, tcp::Edge& edge,
                                          std::shared_ptr<tcp::PeerAddresses> addresses,
                                          uint32_t number) override {
    return std::make_unique<OutLane>(shared, edge, std::move(addresses), number, pump_, flights_);
  }
  std::shared_ptr<tcp::Incoming> incoming(tcp::Shared& shared, tcp::Edge& edge, uint32_t number,
                                          uint64_t generation,
                                          std::function<void()> lost) override {
    return std::make_shared<InLane>(shared, edge, number, generation, std::move(lost), pump_);
  }
  bool poll() override { return pump_.poll(); }
  bool arm() override { return pump_.arm(); }
  bool polled() const override { return true; }

 private:
  Flights flights_;  // first: what is under way ends with the fabric
  Pump pump_;
  const std::string_view scheme_;
};

bool has_entries(const char* folder, std::string_view prefix = {}) {
  DIR* const entries = opendir(folder);
  if (!entries) return false;
  bool found = false;
  while (const dirent* entry = readdir(entries))
    found |= entry->d_name[0] != '.' && std::string_view(entry->d_name).starts_with(prefix);
  closedir(entries);
  return found;
}

}  // namespace
}  // namespace rhz::fabric

namespace rhz {

std::string_view fabric_name(FabricLibrary library) {
  return library == FabricLibrary::kUcx ? "ucx" : "ofi";
}

std::string_view fabric_scheme(FabricLibrary library) {
  return library == FabricLibrary::kUcx ? kUcxScheme : kOfiScheme;
}

Result<std::unique_ptr<Transport>> open_fabric(AsioLoop& loop, BufferPool& pool,
                                               const FabricOptions& options) {
  const TcpOptions& tcp = options.tcp;
  if (!tcp.self.valid()) return Status(Code::kArgument, "a transport needs a peer id");
  const auto where = tcp::parse_address(tcp.listen);
  auto fabric = fabric::load(options.library, options.modules, where ? where.value().host : "");
  if (!fabric) return fabric.status();
  const auto listener = tcp::listen_for_lanes(tcp);
  if (!listener) return listener.status();
  const std::string_view scheme = fabric_scheme(options.library);
  std::vector<std::string> endpoints = tcp::endpoints_of(tcp, listener.value().address);
  for (std::string& endpoint : endpoints) endpoint.insert(0, scheme);
  return std::unique_ptr<Transport>(std::make_unique<tcp::LaneTransport>(
      loop, pool, tcp,
      std::make_unique<fabric::FabricLanes>(loop, std::move(fabric).value(), scheme),
      listener.value(), std::move(endpoints)));
}

Status rdma_hardware() {
  if (fabric::has_entries("/sys/class/infiniband") || fabric::has_entries("/dev", "cxi") ||
      fabric::has_entries("/dev", "hfi1"))
    return Status::ok();
  return Status(Code::kIo, "no device in /sys/class/infiniband, no /dev/cxi*, no /dev/hfi1*");
}

}  // namespace rhz
