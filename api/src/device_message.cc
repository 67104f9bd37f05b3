#include "api/src/device_message.h"

namespace rhz::api {

DeviceMessage::Way DeviceMessage::way() const {
  if (std::get<MessageSpec>(spec_).sends) return theirs_[0] ? Way::kCopied : Way::kGated;
  return on_stream_ ? Way::kGated : Way::kPut;
}

Status DeviceMessage::enqueue_input(Device& device) {
  if (way() != Way::kPut) return DeviceOp::enqueue_input(device);
  puts_.start();
  raise(words_->ready);
  return Status::ok();
}

Status DeviceMessage::enqueue_output(Device& device) {
  return way() == Way::kGated ? DeviceOp::enqueue_output(device) : Status::ok();
}

// The copy is used again behind this: the device must have filled it, also for a send that was
// refused before.
bool DeviceMessage::is_done() const {
  if (!words_ || way() == Way::kGated) return DeviceOp::is_done();
  const DeviceWord* last = way() == Way::kCopied ? words_->ready : words_->done;
  return is_released() && last->load(std::memory_order_acquire) != 0;
}

Status DeviceMessage::of_device() const {
  const bool failed = words_ && words_->done->load(std::memory_order_acquire) == DevicePuts::kFailed;
  return failed ? puts_.failure() : Status::ok();
}

// As much as came.
void DeviceMessage::open_gates() {
  if (way() == Way::kGated) return DeviceOp::open_gates();
  if (way() == Way::kCopied) return;
  const uint64_t bytes = std::min(outcome().bytes, std::get<MessageSpec>(spec_).bytes);
  if (!outcome().status || bytes == 0 || !theirs_[1]) return raise(words_->done);
  puts_.put({out_, theirs_[1], slabs_[1].begin, bytes, words_->done});
}

}  // namespace rhz::api
