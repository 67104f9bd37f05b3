// The process that a vault starts to hold memory of devices (device_holder.h).
#pragma once

#include <string>
#include <vector>

#include "runtime/base/fd.h"
#include "runtime/base/status.h"

namespace rhz::recovery {

// Starts `command`, which calls be_device_holder(), in a process group of its own, and gives the
// connection to it.  It ends when that is closed.
[[nodiscard]] Result<Fd> start_device_holder(std::vector<std::string> command);
// Until the end of who started it.  kState: nobody did.
Status be_device_holder();

}  // namespace rhz::recovery
