#include "runtime/transport/open.h"

#include <algorithm>
#include <string>

#include "runtime/transport/multi/multi_transport.h"
#include "runtime/transport/shm/shm_options.h"

namespace rhz {
namespace {

ShmOptions shm_options(const TransportOptions& from) {
  const TcpOptions& tcp = from.tcp;
  ShmOptions options;
  options.memory = from.memory;
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

}  // namespace

Result<TransportChoice> parse_transport(std::string_view text) {
  if (text == "auto") return TransportChoice::kAuto;
  if (text == "tcp") return TransportChoice::kTcp;
  if (text == "shm") return TransportChoice::kShm;
  return Status(Code::kArgument, "the transport \"" + std::string(text) +
                                     "\" is not in this build; there are auto, tcp, shm");
}

Result<std::unique_ptr<Transport>> open_transport(AsioLoop& loop, BufferPool& pool,
                                                  const TransportOptions& options) {
  if (options.choice == TransportChoice::kShm) {
    auto shm = open_shm(loop, pool, shm_options(options));
    if (shm) return shm;
    return Status(shm.status().code(),
                  "RHZ_TRANSPORT=shm, but there is no shared memory here: " + shm.status().text());
  }
  auto tcp = open_tcp(loop, pool, options.tcp);
  if (!tcp || options.choice == TransportChoice::kTcp) return tcp;
  auto shm = open_shm(loop, pool, shm_options(options));
  if (!shm) return tcp;  // it is the faster way, not the only one
  std::vector<MultiTransport::Way> ways;
  ways.push_back({std::move(shm).value(), reached_by_shm});
  ways.push_back({std::move(tcp).value(), {}});
  return std::unique_ptr<Transport>(std::make_unique<MultiTransport>(std::move(ways)));
}

const char* transport_within_host(TransportChoice choice) {
  if (choice != TransportChoice::kAuto) return choice == TransportChoice::kShm ? "shm" : "tcp";
  return shm_works() ? "shm" : "tcp";
}

}  // namespace rhz
