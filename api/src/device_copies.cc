#include "api/src/device_copies.h"

#include "recovery/state/device_tensors.h"
#include "runtime/device/device.h"

namespace rhz::api {
namespace {

using recovery::Tensor;

Status go_on() { return Status::ok(); }

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
    status = recovery::fetch(*tensor.device, copy.bytes, tensor.data, go_on);
    tensor.data = copy.bytes.data();
    tensor.device = nullptr;
  }
  return status;
}

Status DeviceCopies::put_back() const {
  for (const Copy& copy : copies_) {
    Status status = recovery::put(*copy.tensor.device, copy.tensor.data, copy.bytes, go_on);
    if (!status) return status;
  }
  return Status::ok();
}

}  // namespace rhz::api
