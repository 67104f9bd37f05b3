#include "api/src/mirror_carrier.h"

namespace rhz {

// Members stand still for it: it lets nothing go first.
MirrorCarrier::MirrorCarrier() : thread_("rhz-mirror", "tensors of a device are being carried", [] { return false; }) {}

void MirrorCarrier::begin(Way way) {
  started_ = thread_.start([this, way](Background::Pace& pace) {
    const auto next = [&] { return pace.next(); };
    if (way == Way::kToHost) return mirror_.fetch(next);
    if (way == Way::kToDevice) return mirror_.put(next);
    mirror_.forget();
    return Status::ok();
  });
}

Status MirrorCarrier::outcome() { return started_ ? thread_.poll() : started_; }

}  // namespace rhz
