// Opens the transport that a communicator uses: shared memory to peers of this host, RDMA over UCX
// or libfabric to others where there is hardware for it, else TCP, or what the user forces.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "runtime/base/status.h"
#include "runtime/memory/shared_memory.h"
#include "runtime/transport/tcp/tcp_options.h"
#include "runtime/transport/transport.h"

namespace rhz {

enum class TransportChoice : uint8_t {
  kAuto,  // per peer: shared memory where it answers, else RDMA where both have it, else TCP
  kTcp,
  kShm,  // a peer that shared memory does not reach counts as one that cannot be reached
  kUcx,  // likewise
  kOfi,  // libfabric; likewise
};
// "auto", "tcp", "shm", "ucx", "ofi" or "libfabric".  kArgument names them.
[[nodiscard]] Result<TransportChoice> parse_transport(std::string_view text);

struct TransportOptions {
  TransportChoice choice = TransportChoice::kAuto;
  const SharedMemory* memory = nullptr;  // as in ShmOptions
  TcpOptions tcp;                        // peer id, run and time-outs count for all transports
  std::string modules;                   // as in FabricOptions
  bool shm_direct = false;               // as ShmOptions::direct
};

// kIo: what is forced cannot be had here, and the text says why; otherwise as open_tcp.
[[nodiscard]] Result<std::unique_ptr<Transport>> open_transport(AsioLoop& loop, BufferPool& pool,
                                                                const TransportOptions& options);

// What peers within one host, network namespace and user get by this choice: "shm", "tcp", …
const char* transport_within_host(TransportChoice choice);

// Of this build, with commas.
inline constexpr char kTransportNames[] =
    "tcp,shm"
#ifdef RHZ_HAS_UCX
    ",ucx"
#endif
#ifdef RHZ_HAS_OFI
    ",ofi"
#endif
    ;

// This host has a device that does RDMA.  Ok, or what was looked for in vain.
Status rdma_hardware();

}  // namespace rhz
