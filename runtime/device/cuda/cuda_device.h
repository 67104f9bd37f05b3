// CUDA behind Device, by the driver's API.
#pragma once

#include <map>
#include <mutex>

#include "runtime/device/cuda/contexts.h"
#include "runtime/device/cuda/cuda_peers.h"
#include "runtime/device/cuda/driver.h"
#include "runtime/device/device.h"

namespace rhz::cuda {

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(const Driver& driver) : driver_(driver), contexts_(driver), peers_(driver) {}

  bool owns(const void* memory) const override;
  Result<DeviceQueue> queue_of(void* stream) override;
  Result<Pair> own_queues(const void* memory) override;
  Result<Pair> own_queues_here() override;
  Status pin(const DeviceQueue& by, std::byte* begin, size_t bytes) override;
  void unpin(const DeviceQueue& by, std::byte* begin) override;
  Result<std::span<DeviceWord>> words(const DeviceQueue& by, size_t count) override;
  Status fetch(const DeviceQueue& on, std::byte* to, const void* from, size_t bytes) override;
  Status put(const DeviceQueue& on, void* to, const std::byte* from, size_t bytes) override;
  Status raise(const DeviceQueue& on, DeviceWord& word) override;
  Status await(const DeviceQueue& on, DeviceWord& word) override;
  Status health(const DeviceQueue& of) override;
  PeerAccess* peers() override { return &peers_; }

 private:
  Result<Pair> own_queues_in(Context context);

  const Driver& driver_;
  Contexts contexts_;
  CudaPeers peers_;
  std::mutex mutex_;
  std::map<Context, Pair> own_;  // by context; as long as the process, like the contexts
};

}  // namespace rhz::cuda
