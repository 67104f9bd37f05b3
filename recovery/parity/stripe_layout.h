// How the bytes of a state are cut into stripes of k data shards: shard j of stripe s begins at
// byte (s · k + j) · shard_bytes.  The state is one run of bytes: a snapshot in a vault, say, with
// all tensors behind each other.
//
// All shards have the same length; where the state ends before a shard does, the rest is zeros,
// which are coded but neither stored, sent nor digested.  Plain values, any thread.
#pragma once

#include <cstdint>

#include "recovery/parity/erasure_code.h"
#include "runtime/base/bytes.h"
#include "runtime/base/status.h"

namespace rhz::recovery {

inline constexpr uint64_t kShardAlignment = 64;  // bytes; a cache line
// 16 MiB: at 1 Gbit/s a shard takes 134 ms, so that a lost connection costs little; a 1 GiB state
// with k = 4 has 16 stripes.
inline constexpr uint64_t kDefaultShardBytes = uint64_t{16} << 20;

struct StripeLayout {
  uint64_t state_bytes = 0;
  uint32_t data_shards = 0;
  uint32_t parity_shards = 0;
  uint64_t shard_bytes = 0;  // a multiple of kShardAlignment
  uint32_t stripes = 0;

  // The part of the state that data shard `shard` of `stripe` is: [offset, offset + length).
  uint64_t offset(uint32_t stripe, uint32_t shard) const;
  // Of its stored bytes: below shard_bytes, down to 0, where the state ends; shard_bytes for a
  // parity shard.
  uint64_t length(uint32_t stripe, uint32_t shard) const;
  // Zeros that the last shards are padded with.
  uint64_t padding_bytes() const;
  friend bool operator==(const StripeLayout&, const StripeLayout&) = default;
};

// As few stripes of equal shards as there can be with shards of at most `most_shard_bytes` (rounded
// up to kShardAlignment). kArgument: an empty state, no shard size, or more than 2³² stripes.
[[nodiscard]] Result<StripeLayout> make_stripes(uint64_t state_bytes, const ErasureCode& code,
                                                uint64_t most_shard_bytes = kDefaultShardBytes);

}  // namespace rhz::recovery
