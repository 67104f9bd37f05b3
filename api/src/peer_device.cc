// Memory of the program's: what peers may map, and what is a device's (docs/gpu.md).
#include "api/src/device_front.h"
#include "api/src/peer_driver.h"

namespace rhz {

// B1: how long closing waits for streams to pass the ops that it ended.
constexpr Duration kDevicePatience = std::chrono::seconds(10);

Result<std::byte*> PeerDriver::allocate(size_t bytes) {
  Result<std::byte*> memory = Status(Code::kClosed, "the communicator was closed");
  progress_.with([&] {
    if (!closed_) memory = shared_memory_.allocate(bytes);
  });
  return memory;
}

Status PeerDriver::free(std::byte* begin) {
  bool known = false;
  progress_.with([&] { known = shared_memory_.free(begin); });
  return known ? Status::ok()
               : Status(Code::kArgument, "no memory that this communicator gave out");
}

std::unique_ptr<api::DeviceFront> PeerDriver::make_device_front() {
  Slabs::Memory memory;
  memory.allocate = [this](size_t bytes) { return allocate(bytes); };
  memory.free = [this](std::byte* begin) { (void)free(begin); };
  api::DeviceFront::Below below;
  below.may_submit = [this](GroupId group) { return may_submit(group, false); };
  below.ended = [this] { return closed_ ? Status(Code::kClosed, "the communicator was closed") : node_->end_status(); };
  below.submit = [this](GroupId group, const OpSpec& spec, OpCompletion* completion) -> Result<uint64_t> {
    if (!node_->groups().find(group)) return Status(Code::kClosed, "this communicator was closed");
    return node_->submit(loop_.now(), group, spec, completion);
  };
  below.cancel = [this](GroupId group, uint64_t handle) { node_->cancel(loop_.now(), group, handle); };
  below.resign = [this](const Status& status) {
    if (!closed_) node_->resign(loop_.now(), status);
  };
  return std::make_unique<api::DeviceFront>(open_device(), progress_, std::move(memory), std::move(below));
}

bool PeerDriver::is_on_device(const void* memory) const { return device_->owns(memory); }

Result<uint64_t> PeerDriver::submit_on_device(GroupId group, const OpSpec& spec, void* stream,
                                              OpCompletion* completion) {
  const bool is_root = has_root(spec.kind) && slot() == spec.root;
  return device_->submit(group, spec, is_root, stream, completion);
}

// As the loop's owner: behind others of the group that wait for the device, in the order of their submission.
std::optional<uint64_t> PeerDriver::keep_behind_device(const Request& request) {
  const auto* spec = std::get_if<OpSpec>(&request.spec);
  if (!spec || !device_->ops().queued(request.group)) return std::nullopt;
  return device_->ops().add(std::make_unique<api::DeviceOp>(request.group, *spec, request.completion));
}

// Not the loop's owner: an op that is no submission, a split, comes behind those as well.
void PeerDriver::wait_for_device(GroupId group) {
  bool queued = true;
  while (true) {
    progress_.with([&] { queued = !closed_ && device_->ops().queued(group); });
    if (!queued) return;
    (void)progress_.wait([] { return false; }, loop_.now() + milliseconds(1));
  }
}

bool PeerDriver::is_idle() const { return node_->idle() && device_->ops().idle(); }

void PeerDriver::close_device() { device_->close(kDevicePatience); }

}  // namespace rhz
