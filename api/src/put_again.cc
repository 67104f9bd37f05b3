#include "api/src/put_again.h"

#include "collectives/reduce/cuda/put_again.h"

namespace rhz::api {
namespace {

constexpr unsigned kBlocks = 32, kThreads = 512;

}  // namespace

void PutAgainKernel::load(Device& device, const DeviceQueue& queue) {
  if (!image_ || !device.peers() || !tried_.insert(queue.context).second) return;
  static const DeviceWord nothing{0};
  if (enqueue(device, queue, nothing, nullptr, nullptr, 0)) loaded_.insert(queue.context);
}

Status PutAgainKernel::enqueue(Device& device, const DeviceQueue& on, const DeviceWord& again,
                               std::byte* to, const std::byte* from, size_t bytes) const {
  const PutAgain parameters{reinterpret_cast<const uint32_t*>(&again), to, from, bytes};
  return device.peers()->run(on, {image_, "rhz_put_again", kBlocks, kThreads}, &parameters);
}

}  // namespace rhz::api
