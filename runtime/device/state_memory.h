// Memory of a device that holds state: blocks that outlive their process, and lanes that copy and
// digest beside whatever the program's own streams do.  Any thread, never the loop's owner: calls
// may wait for the device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/base/bytes.h"
#include "runtime/base/status.h"
#include "runtime/base/types.h"
#include "runtime/device/plain_memory.h"

namespace rhz {

class StateMemory {
 public:
  virtual ~StateMemory() = default;

  // Of zeros, on the device that is the thread's; a little more than was asked for.  kState: it has
  // chosen none.  kMemory.
  [[nodiscard]] virtual Result<DeviceBlock> allocate(uint64_t bytes) = 0;
  // What another process, which may be gone, had allocated.  kCorrupt: it is no such memory, or of
  // another size.  kState: this process does not see that device.
  [[nodiscard]] virtual Result<DeviceBlock> adopt(Fd fd, uint64_t bytes,
                                                  const DeviceId& device) = 0;
  // Nothing uses it any more here.
  virtual void free(DeviceBlock& block) = 0;
  // The other kind, of the program's own.
  virtual PlainMemory& plain() = 0;

  // Equal of all memory that one settle(), and one lane, is for.
  virtual const void* place_of(const std::byte* at) = 0;
  // Waits until the device of this memory has done all that this process has queued there.
  [[nodiscard]] virtual Status settle(const std::byte* at) = 0;

  // Locks memory of the host, so that lanes copy at full rate and return before they have.  Slow.
  // `place`: by place_of().
  [[nodiscard]] virtual Status pin(const void* place, MutableBytes host) = 0;
  virtual void unpin(const void* place, std::byte* host) = 0;

  // One piece at a time: it is begun, and finished before the next one or the lane's end.
  class Lane {
   public:
    virtual ~Lane() = default;
    // Device to host, at most kPieceBytes.
    [[nodiscard]] virtual Status begin_fetch(MutableBytes into, const std::byte* from) = 0;
    [[nodiscard]] virtual Status begin_put(std::byte* to, ConstBytes from) = 0;
    // At most kDigestedBytes.  finish() appends a digest of each kDigestBlockBytes, the last one of
    // what is left.
    [[nodiscard]] virtual Status begin_digest(const std::byte* from, uint64_t bytes,
                                              std::vector<Digest>* append) = 0;
    [[nodiscard]] virtual Status finish() = 0;
  };
  static constexpr uint64_t kPieceBytes = uint64_t{64} << 20;
  static constexpr uint64_t kDigestedBytes = uint64_t{1} << 30;
  // On the device of `at`.
  [[nodiscard]] virtual Result<std::unique_ptr<Lane>> lane(const std::byte* at) = 0;
};

// Null, with the reason: there is no driver.
struct OpenedStateMemory {
  std::shared_ptr<StateMemory> memory;
  Status why_not;
};
OpenedStateMemory open_state_memory();

}  // namespace rhz
