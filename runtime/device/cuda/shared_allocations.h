// Allocations that other processes of the host open, by CUDA's IPC handles.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "runtime/device/cuda/driver.h"
#include "runtime/device/shared_allocation.h"

namespace rhz::cuda {

struct Shared {
  SharedAllocation allocation;
  uint64_t bytes = 0;  // of the whole allocation
};
// kIo: this memory cannot be shared, as what a pool or the program itself mapped.
[[nodiscard]] Result<Shared> share(const Driver& driver, const void* memory);

class OpenedAllocations {
 public:
  explicit OpenedAllocations(const Driver& driver) : driver_(driver) {}

  // A process may open each once in a context: whoever asks again gets the same.
  [[nodiscard]] Result<std::byte*> open(Context context, const SharedAllocation& allocation);
  void close(Context context, const SharedAllocation& allocation);

 private:
  struct Opened {
    Address base = 0;
    int users = 0;
  };
  const Driver& driver_;
  std::mutex mutex_;
  std::map<std::pair<Context, std::string>, Opened> opened_;  // by the name
};

}  // namespace rhz::cuda
