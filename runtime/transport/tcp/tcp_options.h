// What the TCP transport is opened with.  The only header of this folder that others include.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/status.h"
#include "runtime/base/types.h"
#include "runtime/loop/asio_loop.h"
#include "runtime/memory/pool.h"
#include "runtime/transport/transport.h"

namespace rhz {

struct TcpOptions {
  // Behaviour.
  PeerId self;            // required
  uint64_t run_hash = 0;  // wire::run_hash of the run id
  // "HOST:PORT", "[V6]:PORT"; ":PORT" and "[::]:PORT" are all interfaces, IPv4 and IPv6.  Port 0:
  // any free one.
  std::string listen = ":0";
  // What others are told.  Empty: derived from `listen`.  Port 0 stands for the port listened on.
  std::vector<std::string> advertise;
  uint32_t connect_ms = 3000;   // a peer that was never reached is suspected after this (kTimeout)
  uint32_t reconnect_ms = 300;  // a peer whose connection broke is suspected after this (kReset)
  uint32_t stall_ms =
      10000;  // a lane whose waiting bytes do not move is suspected after this (kStall)

  // Performance.
  uint32_t bulk_lanes = 1;  // connections for large frames to each peer, 1 to 15
  // SO_SNDBUF and SO_RCVBUF, cut by the kernel to net.core.{w,r}mem_max.  0: the kernel tunes them
  // itself.  Within a host at most 512 KiB are on the way.
  uint32_t socket_buffer_bytes = 4u << 20;
  // TCP_CONGESTION.  Empty: the system's, but reno instead of bbr within one host, where bbr is up
  // to three times slower.
  std::string congestion;
};

// Listens at once.  `loop` and `pool` outlive the transport.
// kArgument: bad address.  kAddressInUse: somebody listens there already.  kIo: other errors of the
// system.
[[nodiscard]] Result<std::unique_ptr<Transport>> open_tcp(AsioLoop& loop, BufferPool& pool,
                                                          const TcpOptions& options);

}  // namespace rhz
