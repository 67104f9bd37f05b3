#include "runtime/agreement/generation.h"

#include <algorithm>
#include <map>

#include "runtime/base/canary.h"

namespace rhz {
namespace {

std::string name(const GenerationRecord& g) {
  return "stage " + std::to_string(g.stage) + ", revision " + std::to_string(g.revision);
}

Status check_shape(const GenerationRecord& g) {
  const uint64_t k = g.data_shards, shards = k + g.parity_shards;
  const auto refuse = [&](const char* why) {
    return Status(Code::kArgument, name(g) + ": " + why);
  };
  if (k == 0 || g.parity_shards == 0 || shards > 256) return refuse("k + m is not 2 … 256");
  if (g.state_bytes == 0 || g.shard_bytes == 0) return refuse("no bytes");
  if (g.shard_bytes > UINT64_MAX / 256) return refuse("shards too long");
  const uint64_t stripe_bytes = g.shard_bytes * k;
  const uint64_t stripes = g.state_bytes / stripe_bytes + (g.state_bytes % stripe_bytes != 0);
  if (stripes > kMaxGenerationShards / shards) return refuse("too many shards; make them longer");
  if (g.held_by.size() != stripes * shards || g.shards.size() != stripes * shards)
    return refuse("the shards do not make up the state");
  if (g.holders.empty() || g.holders.size() > kMaxHolders || g.stage >= kMaxStages)
    return refuse("no holders, too many, or a stage number out of range");
  for (const uint16_t holder : g.held_by)
    if (holder >= g.holders.size()) return refuse("a shard without a holder");
  for (const Holder& holder : g.holders)
    if (!holder.vault.valid() || holder.host.empty()) return refuse("a holder without a name");
  return Status::ok();
}

// R4: no host and no rack holds more than m shards of a stripe.
Status check_domains(const GenerationRecord& g) {
  const size_t shards = size_t{g.data_shards} + g.parity_shards;
  for (size_t first = 0; first < g.held_by.size(); first += shards) {
    std::map<std::string, uint32_t> hosts, racks;
    for (size_t i = first; i < first + shards; ++i) {
      const Holder& holder = g.holders[g.held_by[i]];
      uint32_t most = ++hosts[holder.host];
      if (!holder.rack.empty()) most = std::max(most, ++racks[holder.rack]);
      if (most > g.parity_shards)
        return {Code::kArgument, name(g) + ": host " + holder.host +
                                     " or its rack holds more than " +
                                     std::to_string(g.parity_shards) + " shards of stripe " +
                                     std::to_string(first / shards)};
    }
  }
  return Status::ok();
}

bool same_shards(const GenerationRecord& a, const GenerationRecord& b) {
  return a.root == b.root && a.state_bytes == b.state_bytes && a.data_shards == b.data_shards &&
         a.parity_shards == b.parity_shards && a.shard_bytes == b.shard_bytes &&
         a.shards == b.shards;
}

}  // namespace

Result<bool> judge_generation(const GenerationRecord* logged, const GenerationRecord& proposed) {
  if (Status status = check_shape(proposed); !status) return status;
  if (Status status = check_domains(proposed); !status && !canary(Rule::kDomains)) return status;
  if (canary(Rule::kTwice)) return true;
  if (logged && *logged == proposed) return false;
  if (logged && logged->slots != proposed.slots)
    return Status(Code::kState, name(proposed) + ": the stage is protected for other slots");
  if (!logged || proposed.revision > logged->revision) {
    if (proposed.placement == 0) return true;
    return Status(Code::kState,
                  name(proposed) + " was not sealed, so that it cannot be placed anew");
  }
  if (proposed.revision < logged->revision)
    return Status(Code::kState, name(proposed) + ": revision " + std::to_string(logged->revision) +
                                    " is sealed already");
  if (proposed.root != logged->root)
    return Status(Code::kDiverged, name(proposed) + " is sealed with another root digest");
  if (proposed.placement != logged->placement + 1)
    return Status(Code::kState, name(proposed) + " is sealed already, in placement " +
                                    std::to_string(logged->placement));
  if (!same_shards(*logged, proposed))
    return Status(Code::kDiverged, name(proposed) + " is sealed with other shards");
  return true;
}

std::vector<GenerationRecord> newest_of(std::vector<GenerationRecord> known) {
  for (size_t i = 1; i < known.size();)
    if (known[i - 1].stage == known[i].stage)
      known.erase(known.begin() + static_cast<std::ptrdiff_t>(i - 1));
    else
      ++i;
  return known;
}

}  // namespace rhz
