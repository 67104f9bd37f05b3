// PlainMemory by cuMemAlloc, in the primary contexts of the devices.
#pragma once

#include "runtime/device/cuda/contexts.h"
#include "runtime/device/cuda/shared_allocations.h"
#include "runtime/device/plain_memory.h"

namespace rhz::cuda {

class CudaPlainMemory final : public PlainMemory {
 public:
  // `contexts` outlives it.
  CudaPlainMemory(const Driver& driver, Contexts& contexts)
      : driver_(driver), contexts_(contexts), opened_(driver) {}

  Result<PlainBlock> share(const std::byte* at) override;
  Result<std::byte*> allocate(uint64_t bytes, const DeviceId& device) override;
  void free(std::byte* begin) override;
  Result<MutableBytes> open(const SharedAllocation& allocation) override;
  void close(const SharedAllocation& allocation) override;
  Status copy(const DeviceId& device, std::byte* to, const std::byte* from,
              uint64_t bytes) override;

 private:
  const Driver& driver_;
  Contexts& contexts_;
  OpenedAllocations opened_;
};

}  // namespace rhz::cuda
