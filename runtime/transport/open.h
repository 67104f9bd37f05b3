// Opens the transport that a communicator uses: shared memory to peers of this host, TCP to all
// others, or what the user forces.
#pragma once

#include <memory>
#include <string_view>

#include "runtime/base/status.h"
#include "runtime/memory/shared_memory.h"
#include "runtime/transport/tcp/tcp_options.h"
#include "runtime/transport/transport.h"

namespace rhz {

enum class TransportChoice : uint8_t {
  kAuto,  // per peer: shared memory where it answers, else TCP
  kTcp,
  kShm,  // a peer that shared memory does not reach counts as one that cannot be reached
};
// "auto", "tcp", "shm".  kArgument names them.
[[nodiscard]] Result<TransportChoice> parse_transport(std::string_view text);

struct TransportOptions {
  TransportChoice choice = TransportChoice::kAuto;
  const SharedMemory* memory = nullptr;  // as in ShmOptions
  TcpOptions tcp;                        // peer id, run and time-outs count for all transports
};

// kIo: shared memory is forced, and the system lacks something; otherwise as open_tcp.
[[nodiscard]] Result<std::unique_ptr<Transport>> open_transport(AsioLoop& loop, BufferPool& pool,
                                                                const TransportOptions& options);

// What peers within one host, network namespace and user get by this choice: "shm" or "tcp".
const char* transport_within_host(TransportChoice choice);

// Of this build, with commas.
inline constexpr char kTransportNames[] = "tcp,shm";

}  // namespace rhz
