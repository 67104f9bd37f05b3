#include "runtime/transport/open.h"

#include <algorithm>
#include <string>

#include "runtime/transport/fabric/fabric_options.h"
#include "runtime/transport/multi/multi_transport.h"
#include "runtime/transport/shm/shm_options.h"
#include "runtime/transport/tcp/address.h"

namespace rhz {
namespace {

ShmOptions shm_options(const TransportOptions& from) {
  const TcpOptions& tcp = from.tcp;
  ShmOptions options;
  options.memory = from.memory;
  options.direct = from.shm_direct;
  options.self = tcp.self;
  options.run_hash = tcp.run_hash;
  options.connect_ms = tcp.connect_ms;
  options.reconnect_ms = tcp.reconnect_ms;
  options.stall_ms = tcp.stall_ms;
  return options;
}

bool reached_by_shm(const PeerAddress& peer) {
  return std::any_of(peer.endpoints.begin(), peer.endpoints.end(),
                     [](const std::string& endpoint) { return shm_answers(endpoint); });
}

FabricOptions fabric_options(FabricLibrary library, const TransportOptions& from) {
  FabricOptions options;
  options.library = library;
  options.modules = from.modules;
  options.tcp = from.tcp;
  return options;
}

Result<std::unique_ptr<Transport>> forced_fabric(AsioLoop& loop, BufferPool& pool,
                                                 const TransportOptions& options) {
  const auto library =
      options.choice == TransportChoice::kUcx ? FabricLibrary::kUcx : FabricLibrary::kLibfabric;
  auto opened = open_fabric(loop, pool, fabric_options(library, options));
  if (opened || opened.status().code() != Code::kIo) return opened;
  return Status(Code::kIo, "RHZ_TRANSPORT=" + std::string(fabric_name(library)) + ": " +
                               opened.status().text());
}

std::string any_port(const std::string& address) {
  const auto where = tcp::parse_address(address);
  return where ? tcp::address_text(where.value().host, 0) : address;
}

// The first library that works here.  Its lanes are opened on ports of their own.
void add_rdma(AsioLoop& loop, BufferPool& pool, const TransportOptions& from,
              std::vector<MultiTransport::Way>& ways) {
  for (const FabricLibrary library : {FabricLibrary::kUcx, FabricLibrary::kLibfabric}) {
    FabricOptions options = fabric_options(library, from);
    options.tcp.listen = any_port(options.tcp.listen);
    for (std::string& text : options.tcp.advertise) text = any_port(text);
    auto opened = open_fabric(loop, pool, options);
    if (!opened) continue;
    const std::string_view scheme = fabric_scheme(library);
    ways.push_back({std::move(opened).value(), [scheme](const PeerAddress& peer) {
                      return std::any_of(
                          peer.endpoints.begin(), peer.endpoints.end(),
                          [&](const std::string& e) { return scheme_of(e) == scheme; });
                    }});
    return;
  }
}

}  // namespace

Result<TransportChoice> parse_transport(std::string_view text) {
  if (text == "auto") return TransportChoice::kAuto;
  if (text == "tcp") return TransportChoice::kTcp;
  if (text == "shm") return TransportChoice::kShm;
  if (text == "ucx") return TransportChoice::kUcx;
  if (text == "ofi" || text == "libfabric") return TransportChoice::kOfi;
  return Status(Code::kArgument, "the transport \"" + std::string(text) +
                                     "\" is none; there are auto, tcp, shm, ucx, ofi (libfabric)");
}

Result<std::unique_ptr<Transport>> open_transport(AsioLoop& loop, BufferPool& pool,
                                                  const TransportOptions& options) {
  if (options.choice == TransportChoice::kShm) {
    auto shm = open_shm(loop, pool, shm_options(options));
    if (shm) return shm;
    return Status(shm.status().code(),
                  "RHZ_TRANSPORT=shm, but there is no shared memory here: " + shm.status().text());
  }
  if (options.choice == TransportChoice::kUcx || options.choice == TransportChoice::kOfi)
    return forced_fabric(loop, pool, options);
  auto tcp = open_tcp(loop, pool, options.tcp);
  if (!tcp || options.choice == TransportChoice::kTcp) return tcp;
  // Faster ways, not the only ones: what cannot be had is left out.
  std::vector<MultiTransport::Way> ways;
  if (auto shm = open_shm(loop, pool, shm_options(options)))
    ways.push_back({std::move(shm).value(), reached_by_shm});
  if (rdma_hardware().is_ok()) add_rdma(loop, pool, options, ways);
  if (ways.empty()) return tcp;
  ways.push_back({std::move(tcp).value(), {}});
  return std::unique_ptr<Transport>(std::make_unique<MultiTransport>(std::move(ways)));
}

const char* transport_within_host(TransportChoice choice) {
  switch (choice) {
    case TransportChoice::kTcp: return "tcp";
    case TransportChoice::kShm: return "shm";
    case TransportChoice::kUcx: return "ucx";
    case TransportChoice::kOfi: return "ofi";
    case TransportChoice::kAuto: break;
  }
  return shm_works() ? "shm" : "tcp";
}

}  // namespace rhz
