#include "runtime/device/slabs.h"

#include <algorithm>
#include <bit>

namespace rhz {

// The oldest idle ones go first: a program's ops have the sizes that it used last.
Result<Slab> Slabs::take(const DeviceQueue& for_queue, size_t bytes) {
  bytes = std::bit_ceil(std::max(bytes, kLeastBytes));
  std::vector<Slab> dropped;
  {
    std::lock_guard lock(mutex_);
    const auto fits =
        std::find_if(idle_.rbegin(), idle_.rend(), [&](const Slab& s) { return s.bytes == bytes; });
    if (fits != idle_.rend()) {
      const Slab slab = *fits;
      idle_.erase(std::next(fits).base());
      idle_bytes_ -= bytes;
      return slab;
    }
    while (idle_bytes_ + bytes > kKeptBytes && !idle_.empty()) {
      idle_bytes_ -= idle_.front().bytes;
      dropped.push_back(idle_.front());
      idle_.erase(idle_.begin());
    }
  }
  for (const Slab& old : dropped) drop(old);
  auto memory = memory_.allocate(bytes);
  if (!memory) return memory.status();
  const Slab slab{memory.value(), bytes, for_queue};
  if (Status status = device_.pin(for_queue, slab.begin, bytes); !status) {
    memory_.free(slab.begin);
    return status;
  }
  return slab;
}

void Slabs::give_back(const Slab& slab) {
  std::lock_guard lock(mutex_);
  idle_.push_back(slab);
  idle_bytes_ += slab.bytes;
}

void Slabs::clear() {
  std::vector<Slab> all;
  {
    std::lock_guard lock(mutex_);
    all.swap(idle_);
    idle_bytes_ = 0;
  }
  for (const Slab& slab : all) drop(slab);
}

void Slabs::drop(const Slab& slab) {
  device_.unpin(slab.pinned_by, slab.begin);
  memory_.free(slab.begin);
}

}  // namespace rhz
