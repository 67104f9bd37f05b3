// Parameters of the kernel that copies a result from the host's memory once more, where the host says
// so; plain data on both sides.
#pragma once

#include <stdint.h>

struct PutAgain {
  const uint32_t* again;  // in the host's memory; 0: nothing is copied
  void* to;               // aligned to 16, as `from` is
  const void* from;
  uint64_t bytes;
};
