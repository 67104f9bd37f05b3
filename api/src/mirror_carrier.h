// Carries tensors of devices on a thread of its own.
#pragma once

#include "api/src/background.h"
#include "recovery/state/host_mirror.h"
#include "recovery/sync/carrier.h"

namespace rhz {

class MirrorCarrier final : public recovery::Carrier {
 public:
  MirrorCarrier();

  recovery::HostMirror& mirror() { return mirror_; }
  bool needed() const override { return mirror_.any(); }
  void begin(Way way) override;
  bool busy() const override { return thread_.running(); }
  Status outcome() override;
  // For good, at the next piece.
  void stop() { thread_.stop(); }

 private:
  recovery::HostMirror mirror_;
  Status started_;
  Background thread_;
};

}  // namespace rhz
