// Host memory beside a device: locked, so that the device copies by itself, and kept, because
// locking is slow.  Any thread; give_back() by the loop's owner as well: it calls neither the
// device nor the memory's owner.
#pragma once

#include <functional>
#include <mutex>
#include <vector>

#include "runtime/device/device.h"

namespace rhz {

struct Slab {
  std::byte* begin = nullptr;
  size_t bytes = 0;
  DeviceQueue pinned_by;
};

class Slabs {
 public:
  // B1: when a new one is needed, older ones go until so much is idle; what is in use is bounded by
  // the ops that are open.
  static constexpr size_t kKeptBytes = size_t{2} << 30;
  static constexpr size_t kLeastBytes = size_t{64} << 10;

  struct Memory {
    std::function<Result<std::byte*>(size_t)> allocate;
    std::function<void(std::byte*)> free;
  };
  Slabs(Device& device, Memory memory) : device_(device), memory_(std::move(memory)) {}
  ~Slabs() { clear(); }

  // Of at least so many bytes.
  [[nodiscard]] Result<Slab> take(const DeviceQueue& for_queue, size_t bytes);
  // No queue uses it any more.
  void give_back(const Slab& slab);
  void clear();

 private:
  void drop(const Slab& slab);

  Device& device_;
  const Memory memory_;
  std::mutex mutex_;
  std::vector<Slab> idle_;
  size_t idle_bytes_ = 0;
};

}  // namespace rhz
