// An event loop with one owner at a time.  Only wake() may be called by others.
#pragma once

#include <functional>

#include "runtime/base/types.h"

namespace rhz {

class Loop {
 public:
  virtual ~Loop() = default;
  virtual Time now() const = 0;
  // Runs what is ready; does not block.  Returns true when anything ran.
  virtual bool poll() = 0;
  // Blocks until something ran, wake() was called, or the deadline passed.
  virtual void run_until(Time deadline) = 0;
  // Ends a run_until of another thread, or the next one.  Any thread, async-signal-safe.
  virtual void wake() = 0;
};

}  // namespace rhz
