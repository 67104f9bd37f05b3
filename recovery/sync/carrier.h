// Carries tensors between a device and their mirror in the host (state/host_mirror.h) while the peer's loop goes on.
#pragma once

#include "runtime/base/status.h"

namespace rhz::recovery {

class Carrier {
 public:
  enum class Way { kToHost, kToDevice, kForget };  // the last: nobody needs what is in the host for now
  virtual ~Carrier() = default;
  // There is something to carry.  The same from the moment on when the peer joins.
  virtual bool needed() const = 0;
  // Not while it is busy.
  virtual void begin(Way way) = 0;
  virtual bool busy() const = 0;
  // Of what was begun last, once it is not busy any more.
  [[nodiscard]] virtual Status outcome() = 0;
};

}  // namespace rhz::recovery
