// Generations of shards, and the vaults that hold them (agreement/generation.h, vaults.h).
#include <algorithm>

#include "runtime/wire/codec_parts.h"

namespace rhz::wire {
namespace {

void write_holder(Writing& out, schema::Holder::Builder to, const Holder& from) {
  write_peer_id(out, to.initVault(), from.vault);
  to.setHost(out.exact(from.host));
  to.setRack(out.exact(from.rack));
}

Holder read_holder(Reading& in, schema::Holder::Reader from) {
  return {read_peer_id(in, from.getVault()), in.text(from.getHost(), "host of a vault"),
          in.text(from.getRack(), "rack of a vault")};
}

}  // namespace

void write_generation(Writing& out, schema::GenerationRecord::Builder to,
                      const GenerationRecord& from) {
  to.setStage(from.stage);
  to.setRevision(from.revision);
  to.setPlacement(from.placement);
  to.setRoot(as_data(from.root));
  to.setStateBytes(from.state_bytes);
  to.setDataShards(from.data_shards);
  to.setParityShards(from.parity_shards);
  to.setShardBytes(from.shard_bytes);
  to.setFirstSlot(from.slots.first);
  to.setSlotCount(from.slots.count);
  to.setSlotStride(from.slots.stride);
  write_list(out, to.initHolders(out.count(from.holders.size(), kMaxHolders)), from.holders,
             write_holder);
  auto held_by = to.initHeldBy(out.count(from.held_by.size(), kMaxGenerationShards));
  for (unsigned i = 0; i < held_by.size(); ++i) held_by.set(i, from.held_by[i]);
  const size_t shards = out.count(from.shards.size(), kMaxGenerationShards);
  auto data = to.initShards(static_cast<unsigned>(shards * sizeof(Digest)));
  for (size_t i = 0; i < shards; ++i)
    std::copy(from.shards[i].begin(), from.shards[i].end(), data.begin() + i * sizeof(Digest));
}

GenerationRecord read_generation(Reading& in, schema::GenerationRecord::Reader from) {
  GenerationRecord to;
  to.stage = from.getStage();
  to.revision = from.getRevision();
  to.placement = from.getPlacement();
  to.root = in.digest(from.getRoot(), "root of a generation");
  to.state_bytes = from.getStateBytes();
  to.data_shards = from.getDataShards();
  to.parity_shards = from.getParityShards();
  to.shard_bytes = from.getShardBytes();
  to.slots = {from.getFirstSlot(), from.getSlotCount(), from.getSlotStride()};
  to.holders = read_list(in, from.getHolders(), kMaxHolders, "holders", read_holder);
  to.held_by = read_list(in, from.getHeldBy(), kMaxGenerationShards, "holders of shards",
                         [](Reading&, uint16_t holder) { return holder; });
  const auto data = from.getShards();
  if (data.size() % sizeof(Digest) != 0) in.fail("digests of shards are not 16 bytes each");
  if (!in.accepts(data.size() / sizeof(Digest), kMaxGenerationShards, "digests of shards"))
    return to;
  to.shards.resize(data.size() / sizeof(Digest));
  for (size_t i = 0; i < to.shards.size(); ++i)
    std::copy_n(data.begin() + i * sizeof(Digest), sizeof(Digest), to.shards[i].begin());
  return to;
}

void write_vault(Writing& out, schema::VaultInfo::Builder to, const VaultInfo& from) {
  write_holder(out, to.initHolder(), from.holder);
  auto endpoints = to.initEndpoints(out.count(from.endpoints.size(), kMaxEndpoints));
  for (unsigned i = 0; i < endpoints.size(); ++i) endpoints.set(i, out.exact(from.endpoints[i]));
  to.setBytes(from.bytes);
  to.setLimitBytes(from.limit_bytes);
}

VaultInfo read_vault(Reading& in, schema::VaultInfo::Reader from) {
  return {read_holder(in, from.getHolder()),
          read_list(in, from.getEndpoints(), kMaxEndpoints, "endpoints of a vault",
                    [](Reading& text, auto endpoint) { return text.text(endpoint, "an endpoint"); }),
          from.getBytes(), from.getLimitBytes()};
}

}  // namespace rhz::wire
