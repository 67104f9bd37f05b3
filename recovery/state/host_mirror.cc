#include "recovery/state/host_mirror.h"

#include <sys/mman.h>

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

Status HostMirror::carry(const NextPiece& next, bool to_host) {
  for (const auto& [tensor, host] : pairs_) {
    const Status status = to_host ? recovery::fetch(*tensor.device, {host, tensor.bytes}, tensor.data, next)
                                  : recovery::put(*tensor.device, tensor.data, {host, tensor.bytes}, next);
    if (!status) return status;
  }
  return Status::ok();
}

void HostMirror::forget() {
  for (const Pair& pair : pairs_) ::madvise(pair.host, pair.device.bytes, MADV_DONTNEED);
}

}  // namespace rhz::recovery
