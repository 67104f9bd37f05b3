// Digests of state, and of results.  Of state: XXH3-128 (Y. Collet, xxHash 0.8, seed 0), as its canonical big-endian bytes.  They find corruption and
// divergence; they are no defence against somebody who builds collisions.
//
// A tensor's digest is made of blocks, so that a range of it can be checked alone:
//
//   block digest  = XXH3-128(block)                     every block kDigestBlockBytes long, the last one 1 … kDigestBlockBytes
//   tensor digest = XXH3-128(block digest 0 ‖ block digest 1 ‖ …)
//   root digest   = XXH3-128(tensor digest 0 ‖ …)       in the order of the names (recovery/state)
//
// Persisted in the decision log and in every vault: it never changes.  tests/unit/digest_test.cc has known answers.
// Pure functions, any thread.  The only user of xxHash (hash_kernels.h: by instruction set).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "runtime/base/bytes.h"
#include "runtime/base/types.h"

namespace rhz {

// Small enough that a range of a big tensor is checked alone, large enough that digests are 1/16384 of the state.
inline constexpr size_t kDigestBlockBytes = size_t{256} << 10;

Digest digest128(ConstBytes bytes);

// XXH3-64 (seed 0): of results, while they are compared.  Never persisted.
uint64_t digest64(ConstBytes bytes);

// Of the concatenated bytes of `digests`.
Digest digest_of(std::span<const Digest> digests);

// The two-level digest above.  No bytes: no blocks, hence the digest of the empty string.
Digest tensor_digest(ConstBytes bytes);

// How many blocks `bytes` bytes make.
constexpr uint64_t digest_blocks(uint64_t bytes) {
  return bytes / kDigestBlockBytes + (bytes % kDigestBlockBytes != 0);
}

// Block `index` of `bytes`; index < digest_blocks(bytes.size()).
ConstBytes digest_block(ConstBytes bytes, uint64_t index);

// 32 lower-case hexadecimal digits.
std::string to_hex(const Digest& digest);
// The opposite; nothing for any other text.
std::optional<Digest> digest_from_hex(std::string_view text);

}  // namespace rhz
