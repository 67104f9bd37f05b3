// What the transport on shared memory is opened with.  The only header of this folder that others
// include.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "runtime/base/status.h"
#include "runtime/base/types.h"
#include "runtime/loop/asio_loop.h"
#include "runtime/memory/pool.h"
#include "runtime/memory/shared_memory.h"
#include "runtime/transport/transport.h"

namespace rhz {

struct ShmOptions {
  // Behaviour.
  PeerId self;                 // required
  uint64_t run_hash = 0;       // wire::run_hash of the run id
  uint32_t connect_ms = 3000;  // as in TcpOptions
  uint32_t reconnect_ms = 300;
  uint32_t stall_ms = 10000;

  // Performance.  Large payloads in ordinary memory are read from there by the receiver alone, where the system
  // permits it (process_vm_readv); false: they pass through the ring, which both sides work at.  That was faster in
  // every measurement so far (docs/results.md, section 6): the kernel pins and copies page by page, at half the
  // bandwidth of one core.
  bool direct = false;
  // What peers may map: payloads from there are not even copied where the receiver only reduces
  // them. Null: nothing.  Outlives the transport.
  const SharedMemory* memory = nullptr;
};

// Listens at once, under a name that nobody else has.  `loop` and `pool` outlive the transport.
// kIo: the system lacks something; the text says what.
[[nodiscard]] Result<std::unique_ptr<Transport>> open_shm(AsioLoop& loop, BufferPool& pool,
                                                          const ShmOptions& options);

// The system has what it takes: memory that can be shared and sealed.
bool shm_works();

// A process of the same user listens there, in this kernel and network namespace.  One connect();
// does not block.
bool shm_answers(std::string_view endpoint);

}  // namespace rhz
