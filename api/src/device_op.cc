#include "api/src/device_op.h"

namespace rhz::api {

Line line_of(GroupId group, const AnySpec& spec) {
  const auto* message = std::get_if<MessageSpec>(&spec);
  if (!message) return {group};
  return {message->channel.group, true, message->sends, message->peer, message->channel.tag};
}

Status DeviceOp::prepare(Device& device, Slabs& slabs, const DeviceWords& words,
                         const DeviceQueue* on, bool is_root) {
  const auto [send, recv] = buffers_of(spec_);
  std::byte* const buffers[] = {const_cast<std::byte*>(send), recv};
  for (size_t side : {0u, 1u})
    if (!theirs_[side] && device.owns(buffers[side])) theirs_[side] = buffers[side];
  if (on) {
    in_ = out_ = *on;
  } else {
    auto own = device.own_queues(theirs_[0] ? theirs_[0] : theirs_[1]);
    if (!own) return own.status();
    in_ = own.value().in;
    out_ = own.value().out;
  }
  if (Status status = lend(slabs, is_root); !status) return status;
  words_ = words;
  return Status::ok();
}

Status DeviceOp::lend(Slabs& slabs, bool is_root) {
  use_ = use_of(spec_, is_root);
  Status status = take(slabs, use_.send, 0);
  if (status) status = take(slabs, use_.recv, 1);
  std::visit(
      [this](auto& spec) {
        if (theirs_[0]) spec.send = slabs_[0].begin;
        if (theirs_[1]) spec.recv = slabs_[1].begin;
      },
      spec_);
  return status;
}

Status DeviceOp::take(Slabs& slabs, const BufferUse& use, size_t side) {
  const size_t bytes = use.end();
  if (!theirs_[side] || bytes == 0) return Status::ok();
  auto slab = slabs.take(in_, bytes);
  if (slab) slabs_[side] = slab.value();
  return slab.status();
}

Status DeviceOp::copy(Device& device, bool in) {
  const BufferUse* const uses[] = {&use_.send, &use_.recv};
  for (size_t side : {0u, 1u}) {
    if (!theirs_[side]) continue;
    for (const Extent& e : in ? uses[side]->reads : uses[side]->writes) {
      std::byte *theirs = theirs_[side] + e.offset, *own = slabs_[side].begin + e.offset;
      Status status =
          in ? device.fetch(in_, own, theirs, e.bytes) : device.put(out_, theirs, own, e.bytes);
      if (!status) return status;
    }
  }
  return Status::ok();
}

Status DeviceOp::enqueue_input(Device& device) {
  Status status = copy(device, true);
  return status ? device.raise(in_, *words_->ready) : status;
}

Status DeviceOp::enqueue_output(Device& device) {
  Status status = device.await(out_, *words_->gate);
  if (status) status = copy(device, false);
  if (status) status = device.raise(out_, *words_->done);
  if (!status) open_gates();  // nobody else would
  return status;
}

const AnySpec* DeviceOp::next() const {
  const bool ready = !words_ || is_raised(words_->ready);
  return ready && !submitted_ && !released_ ? &spec_ : nullptr;
}

void DeviceOp::released(const OpOutcome& outcome) {
  outcome_ = outcome;
  released_ = true;
  if (words_) open_gates();
}

void DeviceOp::finalised(const Status& status) {
  final_status_ = status;
  final_ = true;
  if (told_) user_->finalised(status);
}

void DeviceOp::tell(const Status& device) {
  told_ = true;
  if (!device && outcome_.status) outcome_.status = device;
  user_->released(outcome_);
  if (final_) user_->finalised(final_status_);
}

void DeviceOp::refuse(const Status& status) {
  if (released_) return;
  OpOutcome outcome;
  outcome.status = status;
  released(outcome);
  finalised(status);
}

}  // namespace rhz::api
