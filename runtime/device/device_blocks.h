// Blocks of devices that one communicator gave out (rhz_cuda_alloc), or took up from a process that
// is gone.  Any thread; find() by the loop's owner too, for it calls no device.
#pragma once

#include <map>
#include <mutex>

#include "runtime/device/state_memory.h"

namespace rhz {

class DeviceBlocks {
 public:
  static constexpr size_t kMostBlocks = 1024;  // B1: each holds a descriptor of the process

  explicit DeviceBlocks(OpenedStateMemory opened)
      : memory_(std::move(opened.memory)), why_not_(std::move(opened.why_not)) {}
  ~DeviceBlocks();

  // Null: there is no driver.
  StateMemory* memory() const { return memory_.get(); }

  [[nodiscard]] Result<std::byte*> allocate(uint64_t bytes);
  [[nodiscard]] Result<std::byte*> adopt(Fd fd, uint64_t bytes, const DeviceId& device);
  // Memory that goes with this process.
  [[nodiscard]] Result<std::byte*> allocate_plain(uint64_t bytes, const DeviceId& device);
  // False: it gave out none that begins there.
  [[nodiscard]] bool free(std::byte* begin);

  // The block that holds all of these bytes, or null; good until it is freed.
  const DeviceBlock* find(const std::byte* begin, uint64_t bytes) const;

 private:
  [[nodiscard]] Result<std::byte*> add(Result<DeviceBlock> block);
  void let_go(DeviceBlock& block);

  const std::shared_ptr<StateMemory> memory_;
  const Status why_not_;
  mutable std::mutex mutex_;                        // held during no call of the device's
  std::map<const std::byte*, DeviceBlock> blocks_;  // by begin
};

}  // namespace rhz
