#include "recovery/parity/stripe_layout.h"

#include <algorithm>

#include "recovery/state/state.h"

namespace rhz::recovery {
namespace {

constexpr uint64_t kMostShardBytes = uint64_t{1} << 30;  // ISA-L counts in int

uint64_t parts(uint64_t whole, uint64_t part) { return whole / part + (whole % part != 0); }

}  // namespace

uint64_t StripeLayout::offset(uint32_t stripe, uint32_t shard) const {
  return std::min(state_bytes, (uint64_t{stripe} * data_shards + shard) * shard_bytes);
}

uint64_t StripeLayout::length(uint32_t stripe, uint32_t shard) const {
  if (shard >= data_shards) return shard_bytes;
  return std::min(shard_bytes, state_bytes - offset(stripe, shard));
}

uint64_t StripeLayout::padding_bytes() const {
  return uint64_t{stripes} * data_shards * shard_bytes - state_bytes;
}

Result<StripeLayout> make_stripes(uint64_t state_bytes, const ErasureCode& code,
                                  uint64_t most_shard_bytes) {
  if (state_bytes == 0 || state_bytes > kMaxStateBytes)
    return Status(Code::kArgument, "a state in stripes has 1 byte to 4 TiB");
  if (most_shard_bytes == 0 || most_shard_bytes > kMostShardBytes)
    return Status(Code::kArgument, "a shard has 1 byte to 1 GiB");
  most_shard_bytes = parts(most_shard_bytes, kShardAlignment) * kShardAlignment;
  const uint64_t stripes = parts(state_bytes, most_shard_bytes * code.data_shards());
  if (stripes > UINT32_MAX)
    return Status(Code::kArgument, "shards so small make more than 2^32 stripes of this state");
  StripeLayout layout;
  layout.state_bytes = state_bytes;
  layout.data_shards = code.data_shards();
  layout.parity_shards = code.parity_shards();
  layout.stripes = static_cast<uint32_t>(stripes);
  layout.shard_bytes =
      parts(parts(state_bytes, stripes * code.data_shards()), kShardAlignment) * kShardAlignment;
  return layout;
}

}  // namespace rhz::recovery
