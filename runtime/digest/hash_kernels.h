// XXH3 by instruction set: the same results, one translation unit each.  Chosen among by digest.cc.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rhz {

struct HashKernels {
  void (*hash128)(const void* bytes, size_t size, uint8_t canonical[16]);
  uint64_t (*hash64)(const void* bytes, size_t size);
};

extern const HashKernels kBaselineHash;
#if defined(__x86_64__)
extern const HashKernels kAvx2Hash;  // AVX-512 is no faster
#endif

// Those that this processor has, the fastest one first; returns their number.
inline constexpr size_t kMostHashes = 2;
size_t usable_hashes(const HashKernels* (&out)[kMostHashes]);

}  // namespace rhz
