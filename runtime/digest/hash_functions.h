// The functions of one HashKernels, for the instruction set that this translation unit is compiled for.  Nothing else may be included
// here: what other headers define inline would be compiled for it as well, and could be taken for the whole program.
#pragma once

#include "runtime/digest/hash_kernels.h"

// Inlined and not linked, so that the persisted format hangs on the header alone.
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace rhz {
namespace {

void hash128(const void* bytes, size_t size, uint8_t canonical[16]) {
  XXH128_canonical_t out;
  XXH128_canonicalFromHash(&out, XXH3_128bits(bytes, size));
  static_assert(sizeof out.digest == 16);
  __builtin_memcpy(canonical, out.digest, sizeof out.digest);
}

uint64_t hash64(const void* bytes, size_t size) { return XXH3_64bits(bytes, size); }

}  // namespace
}  // namespace rhz
