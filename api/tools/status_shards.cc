#include "api/tools/status_shards.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/tools/text.h"
#include "recovery/shards/generation_shape.h"

namespace rhz::tools {
namespace {

using Json = nlohmann::ordered_json;
using ull = unsigned long long;
using recovery::Standing;

std::vector<PeerId> living(const StatusReply& reply) {
  std::vector<PeerId> ids;
  for (const VaultInfo& vault : reply.vaults) ids.push_back(vault.holder.vault);
  return ids;
}

std::string address_of(const VaultInfo& vault) {
  return vault.endpoints.empty() ? "?" : vault.endpoints.front();
}

std::string vault_row(const VaultInfo& vault) {
  return format("%-16s %-10s %-21s %12s %12s\n", vault.holder.host.c_str(),
                vault.holder.rack.empty() ? "-" : vault.holder.rack.c_str(),
                address_of(vault).c_str(), bytes_text(vault.bytes).c_str(),
                bytes_text(vault.limit_bytes).c_str());
}

std::string slots_text(const StageSlots& slots) {
  if (slots.count == 1) return std::to_string(slots.first);
  const uint32_t last = slots.first + (slots.count - 1) * slots.stride;
  if (slots.stride == 1) return format("%u-%u", slots.first, last);
  return format("%u-%u/%u", slots.first, last, slots.stride);
}

bool has_racks(const GenerationRecord& record) {
  return std::any_of(record.holders.begin(), record.holders.end(),
                     [](const Holder& holder) { return !holder.rack.empty(); });
}

std::string stands_text(const GenerationRecord& record, const Standing& now) {
  if (!now.recoverable) return format("nothing: %u shards of a stripe are lost", now.lost);
  std::string text = format("any %u host%s", now.hosts, now.hosts == 1 ? "" : "s");
  if (has_racks(record)) text += format(", any %u rack%s", now.racks, now.racks == 1 ? "" : "s");
  return text;
}

std::string generation_row(const GenerationRecord& record, const Standing& now) {
  const std::string code = format("%u+%u", record.data_shards, record.parity_shards);
  return format("%5u %9llu %5u %-7s %12llu %-9s %4u  %s\n", record.stage,
                static_cast<ull>(record.revision), record.placement, code.c_str(),
                static_cast<ull>(record.state_bytes), slots_text(record.slots).c_str(), now.lost,
                stands_text(record, now).c_str());
}

}  // namespace

std::string shards_table(const StatusReply& reply, const Generations& generations) {
  std::string text;
  if (!reply.vaults.empty() || !generations.empty())
    text += "\nvault of         rack       address                       held      at most\n";
  for (const VaultInfo& vault : reply.vaults) text += vault_row(vault);
  if (generations.empty()) return text;
  if (reply.vaults.empty()) text += "   (no vaults)\n";
  if (!reply.vaults_complete) text += "   (others may be about to come back)\n";
  text += "\nstage  revision moved k+m            bytes slots     lost  stands the loss of\n";
  for (const GenerationRecord& record : generations)
    text += generation_row(record, recovery::standing(record, living(reply)));
  return text;
}

std::string shards_line(const StatusReply& reply, const Generations& generations) {
  if (reply.vaults.empty() && generations.empty()) return {};
  std::string text = format(" vaults=%zu stages=%zu", reply.vaults.size(), generations.size());
  uint32_t weakest = UINT32_MAX;
  bool whole = true;
  for (const GenerationRecord& record : generations) {
    const Standing now = recovery::standing(record, living(reply));
    weakest = std::min(weakest, now.hosts);
    whole &= now.recoverable;
  }
  if (!generations.empty())
    text += whole ? format(" stands=%u", weakest) : std::string(" stands=lost");
  return text;
}

Json vaults_json(const StatusReply& reply) {
  Json vaults = Json::array();
  for (const VaultInfo& vault : reply.vaults) {
    const PeerId id = vault.holder.vault;
    vaults.push_back(
        {{"id", format("%016llx%016llx", static_cast<ull>(id.high), static_cast<ull>(id.low))},
         {"host", vault.holder.host},
         {"rack", vault.holder.rack},
         {"endpoints", vault.endpoints},
         {"bytes", vault.bytes},
         {"limit_bytes", vault.limit_bytes}});
  }
  return vaults;
}

Json generations_json(const StatusReply& reply, const Generations& generations) {
  Json all = Json::array();
  for (const GenerationRecord& record : generations) {
    const Standing now = recovery::standing(record, living(reply));
    all.push_back({{"stage", record.stage},
                   {"revision", record.revision},
                   {"placement", record.placement},
                   {"data_shards", record.data_shards},
                   {"parity_shards", record.parity_shards},
                   {"stripes", record.held_by.size() /
                                   std::max(record.data_shards + record.parity_shards, 1u)},
                   {"bytes", record.state_bytes},
                   {"first_slot", record.slots.first},
                   {"slot_count", record.slots.count},
                   {"slot_stride", record.slots.stride},
                   {"lost", now.lost},
                   {"recoverable", now.recoverable},
                   {"stands_hosts", now.recoverable ? now.hosts : 0},
                   {"stands_racks", now.recoverable ? now.racks : 0}});
  }
  return all;
}

}  // namespace rhz::tools
