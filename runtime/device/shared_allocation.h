// A name of memory of a device for other processes of the host, as it travels.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace rhz {

using DeviceId = std::array<std::byte, 16>;  // equal in all processes of a host

struct SharedAllocation {
  std::array<std::byte, 64> name{};  // of a whole allocation
  DeviceId device{};
  uint64_t offset = 0;  // of the memory in it
};

}  // namespace rhz
