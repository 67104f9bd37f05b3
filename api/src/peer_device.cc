// Memory of the program's: what peers may map, and what is a device's (docs/gpu.md).
#include <poll.h>

#include <algorithm>
#include <thread>

#include "api/src/closed.h"
#include "api/src/device_front.h"
#include "api/src/peer_driver.h"
#include "runtime/base/out_of_memory.h"

namespace rhz {

// B1: how long closing waits for streams to pass the ops that it ended.
constexpr Duration kDevicePatience = std::chrono::seconds(10);
// Longer than any op over NVLink.  The loop's own timers are of milliseconds.
constexpr Duration kDeviceSpin = milliseconds(5);
// Behind the last op, since the next one is likely.
constexpr Duration kDeviceLinger = milliseconds(1);
constexpr long kDeviceRestNs = 50'000;

Result<std::byte*> PeerDriver::allocate(size_t bytes) {
  Result<std::byte*> memory = closed_status();
  progress_.with([&] {
    if (!closed_) memory = shared_memory_.allocate(bytes);
  });
  return memory;
}

Status PeerDriver::free(std::byte* begin) {
  bool known = false;
  progress_.with([&] { known = shared_memory_.free(begin); });
  if (!known) known = device_blocks_.free(begin);
  return known ? Status::ok()
               : Status(Code::kArgument, "no memory that this communicator gave out");
}

Result<std::byte*> PeerDriver::allocate_on_device(uint64_t bytes) {
  bool closed = false;
  progress_.with([&] { closed = closed_; });
  if (closed) return closed_status();
  return device_blocks_.allocate(bytes);
}

Result<StateMemory*> PeerDriver::device_of(const std::byte* memory) {
  StateMemory* const device = is_on_device(memory) ? device_blocks_.memory() : nullptr;
  if (device)
    if (const auto lane = device->lane(memory); !lane) return lane.status();
  return device;
}

std::unique_ptr<api::DeviceFront> PeerDriver::make_device_front() {
  Slabs::Memory memory;
  memory.allocate = [this](size_t bytes) { return allocate(bytes); };
  memory.free = [this](std::byte* begin) {
    if (!progress_.is_broken()) (void)free(begin);
  };
  api::DeviceFront::Below below;
  below.may_submit = [this](GroupId group) { return may_submit(group, false); };
  below.ended = [this] {
    return closed_ ? closed_status() : node_->end_status();
  };
  below.submit = [this](GroupId group, const AnySpec& spec,
                        OpCompletion* completion) -> Result<uint64_t> {
    if (const auto* message = std::get_if<MessageSpec>(&spec))
      return node_->submit(loop_.now(), *message, completion);
    if (!node_->groups().find(group)) return Status(Code::kClosed, "this communicator was closed");
    return node_->submit(loop_.now(), group, std::get<OpSpec>(spec), completion);
  };
  below.cancel = [this](GroupId group, uint64_t handle) {
    node_->cancel(loop_.now(), group, handle);
  };
  below.input_there = [this](GroupId group, uint64_t handle, uint64_t bytes) {
    node_->input_there(loop_.now(), group, handle, bytes);
  };
  below.result_there = [this](GroupId group, uint64_t handle) {
    return node_->result_there(group, handle);
  };
  below.resign = [this](const Status& status) {
    if (!closed_) node_->resign(loop_.now(), status);
  };
  below.standing = [this]() -> api::DeviceFront::Below::Standing {
    if (closed_ || node_->ended()) return {};
    return {node_->communicator().epoch(), node_->member().sealed_now(), true,
            node_->joined() && !leaving_};
  };
  below.wake = [this] {
    progress_.hurry();
    if (resting_.load()) loop_.wake();
  };
  below.members = [this](GroupId group) -> std::pair<View, PeerId> {
    const Communicator* communicator = closed_ || !node_ ? nullptr : node_->groups().find(group);
    return {communicator ? communicator->view() : View{}, id_};
  };
  return std::make_unique<api::DeviceFront>(open_device(), progress_, std::move(memory),
                                            std::move(below));
}

bool PeerDriver::is_on_device(const void* memory) const { return device_->owns(memory); }

void PeerDriver::submit_on_device(std::span<Request> requests) {
  const bool rooted = std::any_of(requests.begin(), requests.end(), [](const Request& r) {
    const auto* spec = std::get_if<OpSpec>(&r.spec);
    return spec && has_root(spec->kind);
  });
  // Who asks for the slot takes the loop.  Those for which there was no memory say so themselves.
  (void)had_memory([&] { device_->submit(requests, rooted ? slot() : kAnySlot); });
}

// As the loop's owner: behind others of its line that wait for the device, in the order of their
// submission.
std::optional<uint64_t> PeerDriver::keep_behind_device(const Request& request) {
  if (!device_->ops().queued(api::line_of(request.group, request.spec))) return std::nullopt;
  return device_->ops().add(
      std::make_unique<api::DeviceOp>(request.group, request.spec, request.completion));
}

// Not the loop's owner: an op that is no submission, a split, comes behind those as well.
void PeerDriver::wait_for_device(GroupId group) {
  bool queued = true;
  while (true) {
    progress_.with([&] { queued = !closed_ && device_->ops().queued({group}); });
    if (!queued) return;
    (void)progress_.wait([] { return false; }, loop_.now() + milliseconds(1));
  }
}

bool PeerDriver::look_at_device(Time now) {
  const bool moved = device_->look();
  if (moved) device_moved_ = now;
  const bool waits = !device_->ops().settled();
  if (waits || device_lingers_) {
    device_lingers_ = waits || now - device_moved_ < kDeviceLinger;
    progress_.set_eager(device_lingers_);
  }
  return moved;
}

// A device says nothing when it is done, nor do threads that submit: who waits for one looks again
// and again, at first without a rest.  False: nobody waits.
bool PeerDriver::rest_beside_device(Time now) {
  if (!device_lingers_ && device_->ops().settled()) return false;
  const timespec rest{0, kDeviceRestNs};
  if (now - device_moved_ < kDeviceSpin)
    std::this_thread::yield();
  else
    (void)ppoll(nullptr, 0, &rest, nullptr);
  return true;
}

bool PeerDriver::is_idle() const { return node_->idle() && device_->ops().settled(); }

void PeerDriver::close_device() { device_->close(kDevicePatience); }

}  // namespace rhz
