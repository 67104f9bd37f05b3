#include "recovery/state/device_tensors.h"

#include <algorithm>
#include <set>
#include <vector>

#include "runtime/digest/digest.h"

namespace rhz::recovery {
namespace {

Result<Digest> digest_on_device(const Tensor& tensor) {
  auto lane = tensor.device->lane(tensor.data);
  if (!lane) return lane.status();
  std::vector<Digest> blocks;
  for (uint64_t at = 0; at < tensor.bytes; at += StateMemory::kDigestedBytes) {
    const uint64_t bytes = std::min(StateMemory::kDigestedBytes, tensor.bytes - at);
    Status status = lane.value()->begin_digest(tensor.data + at, bytes, &blocks);
    if (status) status = lane.value()->finish();
    if (!status) return status;
  }
  return digest_of(blocks);
}

// `begin`: a piece, at this place.
template <class Begin>
Status piece_by_piece(StateMemory& device, const std::byte* at, uint64_t bytes,
                      const NextPiece& next, Begin begin) {
  auto lane = device.lane(at);
  Status status = lane.status();
  for (uint64_t done = 0; status && done < bytes; done += StateMemory::kPieceBytes) {
    status = next();
    if (status)
      status = begin(*lane.value(), done, std::min(StateMemory::kPieceBytes, bytes - done));
    if (status) status = lane.value()->finish();
  }
  return status;
}

}  // namespace

bool any_on_device(std::span<const Tensor> tensors) {
  return std::any_of(tensors.begin(), tensors.end(), [](const Tensor& t) { return t.device; });
}

Status settle(std::span<const Tensor> tensors) {
  std::set<const void*> settled;
  for (const Tensor& tensor : tensors) {
    if (!tensor.device || !settled.insert(tensor.device->place_of(tensor.data)).second) continue;
    if (Status status = tensor.device->settle(tensor.data); !status) return status;
  }
  return Status::ok();
}

Status fetch(StateMemory& device, MutableBytes into, const std::byte* from,
             const NextPiece& next) {
  return piece_by_piece(device, from, into.size(), next,
                        [&](StateMemory::Lane& lane, uint64_t at, uint64_t bytes) {
                          return lane.begin_fetch(into.subspan(at, bytes), from + at);
                        });
}

Status put(StateMemory& device, std::byte* to, ConstBytes from, const NextPiece& next) {
  return piece_by_piece(device, to, from.size(), next,
                        [&](StateMemory::Lane& lane, uint64_t at, uint64_t bytes) {
                          return lane.begin_put(to + at, from.subspan(at, bytes));
                        });
}

Result<Digest> root_of(std::span<const Tensor> tensors) {
  if (Status status = settle(tensors); !status) return status;
  std::vector<Digest> digests;
  digests.reserve(tensors.size());
  for (const Tensor& tensor : tensors) {
    if (!tensor.device) {
      digests.push_back(tensor_digest(tensor.view()));
      continue;
    }
    auto digest = digest_on_device(tensor);
    if (!digest) return digest.status();
    digests.push_back(digest.value());
  }
  return digest_of(digests);
}

}  // namespace rhz::recovery
