// Parameters of the kernel that digests blocks of a device's memory, as plain data on both sides.
#pragma once

#include <stdint.h>

#define RHZ_DIGEST_LANES 8  // threads that digest a block together
// Of a thread block: many, so that few multiprocessors are taken from other kernels.
#define RHZ_DIGEST_THREADS 512

struct BlockDigests {
  const void* bytes;     // aligned to 8
  uint64_t blocks;       // of block_bytes each
  uint64_t block_bytes;  // a multiple of 1024, at least 2048
  uint8_t* digests;      // 16 bytes of each; may be the host's
};
