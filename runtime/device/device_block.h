// A piece of a device's memory that state lies in.
#pragma once

#include "runtime/base/fd.h"
#include "runtime/device/shared_allocation.h"

namespace rhz {

struct DeviceBlock {
  std::byte* begin = nullptr;
  uint64_t bytes = 0;
  DeviceId device{};
  // It lives as long as somebody has this, or has it mapped.  None: memory that goes with its process.
  Fd fd;
};

}  // namespace rhz
