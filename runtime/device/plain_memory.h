// Memory of a device that a program allocated by itself (cuMemAlloc, cudaMalloc), which goes with its
// process: what another process needs that holds it beyond that.  Any thread, never the loop's owner.
#pragma once

#include <cstdint>

#include "runtime/base/bytes.h"
#include "runtime/base/status.h"
#include "runtime/device/device_block.h"
#include "runtime/device/shared_allocation.h"

namespace rhz {

// A whole allocation; `begin` is of the process that made it.
struct PlainBlock {
  std::byte* begin = nullptr;
  uint64_t bytes = 0;
  SharedAllocation shared;
};

class PlainMemory {
 public:
  virtual ~PlainMemory() = default;

  // What `at` lies in.  kArgument: memory of another kind, as a pool's.
  [[nodiscard]] virtual Result<PlainBlock> share(const std::byte* at) = 0;
  // kState: this process does not see that device.  kMemory.
  [[nodiscard]] virtual Result<std::byte*> allocate(uint64_t bytes, const DeviceId& device) = 0;
  virtual void free(std::byte* begin) = 0;

  // Another process's, which may be gone from then on; as many bytes as there are.  Needs no context
  // of the program's.
  [[nodiscard]] virtual Result<MutableBytes> open(const SharedAllocation& allocation) = 0;
  virtual void close(const SharedAllocation& allocation) = 0;
  // On this device; it has happened when this returns.
  [[nodiscard]] virtual Status copy(const DeviceId& device, std::byte* to, const std::byte* from,
                                    uint64_t bytes) = 0;
};

}  // namespace rhz
