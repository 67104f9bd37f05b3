#include "recovery/state/host_mirror.h"

#include <sys/mman.h>

#include <algorithm>

namespace rhz::recovery {

HostMirror::~HostMirror() {
  for (const Pair& pair : pairs_) ::munmap(pair.host, pair.device.bytes);
}

Status HostMirror::stand_in(State& state) {
  for (size_t i = 0; i < state.tensors().size(); ++i) {
    const Tensor tensor = state.tensors()[i];
    if (!tensor.device) continue;
    void* host = ::mmap(nullptr, tensor.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (host == MAP_FAILED)
      return {Code::kMemory, "no addresses for " + std::to_string(tensor.bytes) + " bytes beside tensor \"" + tensor.name + "\" of a device"};
    pairs_.push_back({tensor, static_cast<std::byte*>(host)});
    state.stand_in(i, pairs_.back().host);
  }
  return Status::ok();
}

Status HostMirror::carry(const Next& next, bool to_host) {
  for (const Pair& pair : pairs_) {
    auto lane = pair.device.device->lane(pair.device.data);
    if (!lane) return lane.status();
    for (uint64_t at = 0; at < pair.device.bytes; at += StateMemory::kPieceBytes) {
      if (Status go = next(); !go) return go;
      const uint64_t bytes = std::min(StateMemory::kPieceBytes, pair.device.bytes - at);
      Status status = to_host ? lane.value()->begin_fetch({pair.host + at, bytes}, pair.device.data + at)
                              : lane.value()->begin_put(pair.device.data + at, {pair.host + at, bytes});
      if (status) status = lane.value()->finish();
      if (!status) return status;
    }
  }
  return Status::ok();
}

void HostMirror::forget() {
  for (const Pair& pair : pairs_) ::madvise(pair.host, pair.device.bytes, MADV_DONTNEED);
}

}  // namespace rhz::recovery
