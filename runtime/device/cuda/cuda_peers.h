// PeerAccess by CUDA's IPC handles.
#pragma once

#include <map>
#include <mutex>

#include "runtime/device/cuda/shared_allocations.h"
#include "runtime/device/peer_access.h"

namespace rhz::cuda {

class CudaPeers final : public PeerAccess {
 public:
  explicit CudaPeers(const Driver& driver) : driver_(driver), opened_(driver) {}

  Result<SharedAllocation> share(const void* memory) override;
  Result<std::byte*> map(const DeviceQueue& by, const SharedAllocation& allocation) override;
  void unmap(const DeviceQueue& by, const SharedAllocation& allocation, std::byte* begin) override;
  Result<std::byte*> allocate(const DeviceQueue& by, size_t bytes, bool zeroed) override;
  void free(const DeviceQueue& by, std::byte* begin) override;
  Status copy(const DeviceQueue& on, void* to, const void* from, size_t bytes) override;
  Status run(const DeviceQueue& on, const Launch& launch, const void* parameter) override;

 private:
  Result<Function> function_of(const DeviceQueue& on, const Launch& launch);

  const Driver& driver_;
  OpenedAllocations opened_;
  std::mutex mutex_;
  std::map<std::pair<Context, const void*>, Module> modules_;      // by the image
  std::map<std::pair<Context, const char*>, Function> functions_;  // by the kernel's name, a literal
};

}  // namespace rhz::cuda
