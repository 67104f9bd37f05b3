#include "recovery/shards/generation_shape.h"

#include <algorithm>

namespace rhz::recovery {
namespace {

bool lives(std::span<const PeerId> living, PeerId vault) {
  return std::find(living.begin(), living.end(), vault) != living.end();
}

}  // namespace

Result<GenerationShape> shape_of(const GenerationRecord& record) {
  auto code = ErasureCode::make(record.data_shards, record.parity_shards);
  if (!code) return Status(Code::kCorrupt, code.status().text());
  StripeLayout layout;
  layout.state_bytes = record.state_bytes;
  layout.data_shards = record.data_shards;
  layout.parity_shards = record.parity_shards;
  layout.shard_bytes = record.shard_bytes;
  const size_t shards = code.value().shards();
  layout.stripes = static_cast<uint32_t>(record.held_by.size() / shards);
  if (layout.stripes == 0 || record.held_by.size() % shards != 0 ||
      record.held_by.size() != record.shards.size() || record.shard_bytes == 0)
    return Status(Code::kCorrupt, "the record of a generation contradicts itself");
  return GenerationShape{code.value(), layout};
}

Standing standing(const GenerationRecord& record, std::span<const PeerId> living) {
  const auto shape = shape_of(record);
  if (!shape) return {0, false, 0, 0};
  std::vector<Host> hosts;
  for (const Holder& holder : record.holders)
    hosts.push_back({holder.host, holder.rack, lives(living, holder.vault)});
  Standing weakest{0, true, UINT32_MAX, UINT32_MAX};
  const uint32_t shards = shape.value().code.shards();
  for (uint32_t s = 0; s < shape.value().layout.stripes; ++s) {
    const auto first = record.held_by.begin() + static_cast<std::ptrdiff_t>(shape.value().at(s, 0));
    const std::vector<uint32_t> holders(first, first + shards);
    const Standing one = standing(hosts, shape.value().code, holders);
    weakest.lost = std::max(weakest.lost, one.lost);
    weakest.recoverable &= one.recoverable;
    weakest.hosts = std::min(weakest.hosts, one.hosts);
    weakest.racks = std::min(weakest.racks, one.racks);
  }
  return weakest;
}

std::vector<uint32_t> shards_left(const GenerationRecord& record, std::span<const PeerId> living) {
  std::vector<uint32_t> left;
  const size_t shards = size_t{record.data_shards} + record.parity_shards;
  for (size_t i = 0; i < record.held_by.size(); ++i) {
    if (i % shards == 0) left.push_back(0);
    left.back() += lives(living, record.holders[record.held_by[i]].vault);
  }
  return left;
}

}  // namespace rhz::recovery
