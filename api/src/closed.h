// What whoever still waits for a communicator is told that its own program closes.
#pragma once

#include "runtime/base/status.h"

namespace rhz {

inline Status closed_status() { return {Code::kClosed, "the communicator was closed"}; }

}  // namespace rhz
