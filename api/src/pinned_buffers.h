// The two buffers that a vault has for a slot's snapshots, mapped and locked so that devices copy
// into them: kept from snapshot to snapshot, for locking takes longer than the copy.  One thread at
// a time, not the loop's owner.
#pragma once

#include <vector>

#include "recovery/state/state.h"
#include "runtime/memory/shared_region.h"

namespace rhz {

class PinnedBuffers {
 public:
  PinnedBuffers() = default;
  PinnedBuffers(const PinnedBuffers&) = delete;
  PinnedBuffers& operator=(const PinnedBuffers&) = delete;
  ~PinnedBuffers();

  // The whole buffer.  Where it cannot be locked (ulimit -l), devices copy slowly: no error.
  [[nodiscard]] Result<MutableBytes> map(const Fd& buffer, const recovery::Tensor& on_device);

 private:
  static constexpr size_t kMost = 2;
  struct Buffer {
    uint64_t device = 0, inode = 0;  // which memory it is
    SharedRegion region;
    StateMemory* locked_by = nullptr;
    const void* place = nullptr;
  };
  static void unlock(Buffer& buffer);

  std::vector<Buffer> buffers_;  // the one used last comes last
};

}  // namespace rhz
