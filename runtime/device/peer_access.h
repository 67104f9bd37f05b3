// Memory of one process's device that others of the host map into theirs, and kernels over it.  Any
// thread, never the loop's owner.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/base/status.h"
#include "runtime/device/device.h"
#include "runtime/device/shared_allocation.h"

namespace rhz {

class PeerAccess {
 public:
  virtual ~PeerAccess() = default;

  // kIo: this memory cannot be shared, as what a pool or the program itself mapped.
  [[nodiscard]] virtual Result<SharedAllocation> share(const void* memory) = 0;
  // The same memory of another process, for the devices of this context.  Stays readable when that
  // process is gone.
  [[nodiscard]] virtual Result<std::byte*> map(const DeviceQueue& by,
                                               const SharedAllocation& allocation) = 0;
  // No kernel uses it any more.  `begin`: as map() gave it.
  virtual void unmap(const DeviceQueue& by, const SharedAllocation& allocation,
                     std::byte* begin) = 0;
  // Of the device.  `zeroed` waits until it is, and so for all that is queued there.
  [[nodiscard]] virtual Result<std::byte*> allocate(const DeviceQueue& by, size_t bytes,
                                                    bool zeroed) = 0;
  virtual void free(const DeviceQueue& by, std::byte* begin) = 0;

  // In the order of the queue.
  [[nodiscard]] virtual Status copy(const DeviceQueue& on, void* to, const void* from,
                                    size_t bytes) = 0;
  // Of a fat binary.  The first run of a kernel loads it, and that may wait for all that is queued
  // on the device: not behind a wait for a word that this thread has yet to raise.
  struct Launch {
    const void* image = nullptr;
    const char* kernel = nullptr;
    unsigned blocks = 1, threads = 1;
  };
  [[nodiscard]] virtual Status run(const DeviceQueue& on, const Launch& launch,
                                   const void* parameter) = 0;
};

}  // namespace rhz
