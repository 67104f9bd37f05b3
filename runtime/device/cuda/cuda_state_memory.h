// StateMemory by CUDA's virtual memory: an allocation that is exported as a descriptor lives as
// long as the descriptor does, whoever has it and whether or not that process has ever used CUDA.
#pragma once

#include <map>
#include <mutex>
#include <vector>

#include "runtime/device/cuda/cuda_plain_memory.h"
#include "runtime/device/state_memory.h"

namespace rhz::cuda {

// What a lane is made of, kept for the next one.
struct LaneParts {
  Stream stream = nullptr;
  std::byte* host = nullptr;  // digests, and a tail behind them: locked, and the device's as well
  Address digests = 0;        // the same for the device
};

class CudaStateMemory final : public StateMemory {
 public:
  explicit CudaStateMemory(const Driver& driver)
      : driver_(driver), contexts_(driver), plain_(driver, contexts_) {}

  Result<DeviceBlock> allocate(uint64_t bytes) override;
  Result<DeviceBlock> adopt(Fd fd, uint64_t bytes, const DeviceId& device) override;
  void free(DeviceBlock& block) override;
  PlainMemory& plain() override { return plain_; }
  const void* place_of(const std::byte* at) override;
  Status settle(const std::byte* at) override;
  Status pin(const void* place, MutableBytes host) override;
  void unpin(const void* place, std::byte* host) override;
  Result<std::unique_ptr<Lane>> lane(const std::byte* at) override;

  // For lanes.
  const Driver& driver() const { return driver_; }
  void give_back(Context context, const LaneParts& parts);

 private:
  // In the thread's context.  Takes the handle.
  [[nodiscard]] Result<std::byte*> map(Allocation allocation, uint64_t bytes, int ordinal);
  [[nodiscard]] Result<Function> digests_in(Context context);

  const Driver& driver_;
  Contexts contexts_;
  CudaPlainMemory plain_;
  std::mutex mutex_;
  std::map<Context, std::vector<LaneParts>> idle_;  // as long as the process, like the contexts
  std::map<Context, Function> digests_;             // null: none was built
};

}  // namespace rhz::cuda
