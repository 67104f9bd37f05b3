// A send or receive whose buffer is a device's, or which keeps the order of a stream.
//
//   send, on a stream or not   … │ copy in │ raise `ready` │ …
//   receive on a stream        … │ raise `ready` │ wait for `gate` │ copy out │ raise `done` │ …
//   receive, of no stream      (the message has come) │ copy out │ raise `done`
//
// A send's stream has its buffer back at once: the copy is what waits to be taken. A buffer of the
// host's on a stream has no copy, so that the stream waits there, as for a receive. Receives of no
// stream end in any order, and nothing of one may stand on a queue of the library's in front of
// another.
#pragma once

#include "api/src/device_op.h"
#include "api/src/device_puts.h"

namespace rhz::api {

class DeviceMessage final : public DeviceOp {
 public:
  DeviceMessage(GroupId group, AnySpec spec, bool on_stream, OpCompletion* user, DevicePuts& puts)
      : DeviceOp(group, std::move(spec), user), on_stream_(on_stream), puts_(puts) {}

  Status enqueue_input(Device& device) override;
  Status enqueue_output(Device& device) override;
  bool is_done() const override;
  Status of_device() const override;
  // In between it is the other side that has to go on.
  bool waits_for_device() const override { return !is_told() && (is_released() || !submitted_); }

 private:
  enum class Way : uint8_t { kCopied, kGated, kPut };
  Way way() const;
  void open_gates() override;

  const bool on_stream_;
  DevicePuts& puts_;
};

}  // namespace rhz::api
