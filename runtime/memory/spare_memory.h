// How much memory this process could still take without taking somebody else's.
#pragma once

#include <cstdint>

namespace rhz {

// What the system has available, or its control group (version 2) has left, whichever is less; 0 where it does not say.  Reads
// files; any thread.
uint64_t spare_memory_bytes();

}  // namespace rhz
