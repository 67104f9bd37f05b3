#include "api/src/device_copies.h"

#include <algorithm>

#include "recovery/state/device_tensors.h"
#include "runtime/device/device.h"

namespace rhz::api {
namespace {

using recovery::Tensor;

// Piece by piece.
template <class Begin>
Status through_lane(const Tensor& tensor, Begin begin) {
  auto lane = tensor.device->lane(tensor.data);
  Status status = lane.status();
  for (uint64_t at = 0; status && at < tensor.bytes; at += StateMemory::kPieceBytes) {
    status = begin(*lane.value(), at, std::min(StateMemory::kPieceBytes, tensor.bytes - at));
    if (status) status = lane.value()->finish();
  }
  return status;
}

}  // namespace

Status mark_device_tensors(std::vector<Tensor>& tensors) {
  const OpenedDevice opened = open_device();
  if (!opened.device) return Status::ok();
  const OpenedStateMemory memory = open_state_memory();
  for (Tensor& tensor : tensors)
    if (opened.device->owns(tensor.data)) tensor.device = memory.memory.get();
  return Status::ok();
}

Status DeviceCopies::take(std::vector<Tensor>& tensors) {
  Status status = mark_device_tensors(tensors);
  if (status) status = recovery::settle(tensors);
  copies_.reserve(copies_.size() + tensors.size());
  for (Tensor& tensor : tensors) {
    if (!status || !tensor.device) continue;
    Copy& copy = copies_.emplace_back(Copy{tensor, std::vector<std::byte>(tensor.bytes)});
    status = through_lane(tensor, [&](StateMemory::Lane& lane, uint64_t at, uint64_t bytes) {
      return lane.begin_fetch({copy.bytes.data() + at, bytes}, tensor.data + at);
    });
    tensor.data = copy.bytes.data();
    tensor.device = nullptr;
  }
  return status;
}

Status DeviceCopies::put_back() const {
  for (const Copy& copy : copies_) {
    Status status =
        through_lane(copy.tensor, [&](StateMemory::Lane& lane, uint64_t at, uint64_t bytes) {
          return lane.begin_put(copy.tensor.data + at, {copy.bytes.data() + at, bytes});
        });
    if (!status) return status;
  }
  return Status::ok();
}

}  // namespace rhz::api
