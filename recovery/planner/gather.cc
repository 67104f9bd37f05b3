#include "recovery/planner/gather.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <optional>

#include "recovery/shards/generation_shape.h"

namespace rhz::recovery {
namespace {

using Verdict = StateHeader::Verdict;

const Holding* holding_of(const Sight& sight, Slot slot) {
  const auto at = std::find_if(sight.holdings.begin(), sight.holdings.end(),
                               [&](const Holding& holding) { return holding.slot == slot; });
  return at == sight.holdings.end() ? nullptr : &*at;
}

// Of all slots that are lost; none unless each has its state kept, at one revision.
std::optional<AttachFacts> attach_of(const Sight& sight, std::span<const Slot> lost) {
  std::optional<AttachFacts> found;
  for (const Slot slot : lost) {
    const Holding* const holding = holding_of(sight, slot);
    if (!holding || !holding->kept) return std::nullopt;
    const bool updating = holding->verdict == Verdict::kOpen;
    if (!updating && holding->verdict != Verdict::kWhole) return std::nullopt;
    if (!found) found = AttachFacts{holding->revision, false};
    found->updating = found->updating || updating;
    if (!found->updating && found->revision != holding->revision) return std::nullopt;
  }
  return found;
}

// Revisions, the newest first, that all these slots have snapshots of.
std::vector<uint64_t> snapshots_of(const Sight& sight, std::span<const Slot> slots) {
  std::set<uint64_t, std::greater<>> common;
  for (size_t i = 0; i < slots.size(); ++i) {
    std::set<uint64_t, std::greater<>> own;
    if (const Holding* const holding = holding_of(sight, slots[i]))
      for (const SnapshotInfo& snapshot : holding->snapshots) own.insert(snapshot.revision);
    if (i == 0) {
      common = std::move(own);
      continue;
    }
    std::erase_if(common, [&](uint64_t revision) { return !own.contains(revision); });
  }
  return {common.begin(), common.end()};
}

// Those that all these slots have, as they were when they were sealed: the newest one, and the one
// before.
void take_generations(const Sight& sight, std::span<const Slot> slots, StageFacts& facts) {
  for (const GenerationRecord& sealed : sight.generations) {
    if (!std::all_of(slots.begin(), slots.end(), [&](Slot slot) { return sealed.slots.has(slot); }))
      continue;
    facts.shards_before = std::move(facts.shards);
    facts.shards = {sealed.revision, sealed.data_shards, shards_left(sealed, sight.vaults)};
    if (facts.state_bytes == 0) facts.state_bytes = facts.parameter_bytes = sealed.state_bytes;
  }
}

uint64_t bytes_of_member(const Sight& sight, std::span<const Slot> slots) {
  uint64_t bytes = 0;
  for (const Slot slot : slots)
    if (const Holding* const holding = holding_of(sight, slot))
      bytes = std::max(bytes, holding->kept_bytes);
  return bytes != 0 ? bytes : sight.state_bytes;
}

}  // namespace

StageFacts gather(const Sight& sight, uint32_t stage) {
  std::vector<Slot> slots, lost;
  for (uint32_t replica = 0; replica < sight.replicas; ++replica) {
    slots.emplace_back(stage * sight.replicas + replica);
    if (!sight.here.contains(slots.back())) lost.push_back(slots.back());
  }
  StageFacts facts;
  facts.lost = static_cast<uint32_t>(lost.size());
  facts.live = sight.replicas - facts.lost;
  facts.state_bytes = facts.parameter_bytes = bytes_of_member(sight, slots);
  facts.attach = attach_of(sight, lost);
  facts.vault = snapshots_of(sight, slots);
  take_generations(sight, slots, facts);
  facts.disk = sight.disk;
  return facts;
}

void complete(StageFacts& facts, const StageFacts& seen) {
  if (facts.live == 0 && facts.lost == 0) {
    facts.live = seen.live;
    facts.lost = seen.lost;
  }
  if (facts.state_bytes == 0) facts.state_bytes = seen.state_bytes;
  if (facts.parameter_bytes == 0) facts.parameter_bytes = facts.state_bytes;
  if (!facts.attach) facts.attach = seen.attach;
  if (facts.vault.empty()) facts.vault = seen.vault;
  if (!facts.shards) {
    facts.shards = seen.shards;
    facts.shards_before = seen.shards_before;
  }
  if (facts.disk.empty()) facts.disk = seen.disk;
}

}  // namespace rhz::recovery
