#include "recovery/shards/vault_set.h"

#include <algorithm>
#include <map>

#include "runtime/base/canary.h"

namespace rhz::recovery {

void VaultSet::join(Holder holder) {
  if (index_of(holder.vault) != kNone) return;
  holders_.push_back(std::move(holder));
  lives_.push_back(true);
}

void VaultSet::lose(PeerId vault) {
  lives_[index_of_or_lost({vault, "", ""})] = false;  // word of its death may come before its name
}

bool VaultSet::lives(PeerId vault) const {
  const uint32_t at = index_of(vault);
  return at != kNone && lives_[at];
}

std::vector<PeerId> VaultSet::living() const {
  std::vector<PeerId> ids;
  for (size_t i = 0; i < holders_.size(); ++i)
    if (lives_[i]) ids.push_back(holders_[i].vault);
  return ids;
}

std::vector<Host> VaultSet::hosts(const std::vector<PeerId>& full) const {
  std::vector<Host> hosts;
  for (size_t i = 0; i < holders_.size(); ++i) {
    const bool useless = std::find(full.begin(), full.end(), holders_[i].vault) != full.end();
    const bool rackless = canary(Rule::kDomains);
    hosts.push_back({holders_[i].host, rackless ? "" : holders_[i].rack, lives_[i] && !useless});
  }
  return hosts;
}

uint32_t VaultSet::index_of(PeerId vault) const {
  for (uint32_t i = 0; i < holders_.size(); ++i)
    if (holders_[i].vault == vault) return i;
  return kNone;
}

uint32_t VaultSet::index_of_or_lost(const Holder& holder) {
  if (index_of(holder.vault) == kNone) {
    holders_.push_back(holder);
    lives_.push_back(false);
  }
  return index_of(holder.vault);
}

Status no_place(const Status& placement, const Status& refusal, size_t refused) {
  if (refused == 0) return placement;
  return {refusal.code(), refusal.text() + "; without the " + std::to_string(refused) +
                              " vaults that refused: " + placement.text()};
}

void write_placement(const VaultSet& vaults, const Placement& placement, GenerationRecord& record) {
  record.holders.clear();
  record.held_by.clear();
  std::map<uint32_t, uint16_t> used;
  for (const auto& stripe : placement.holders)
    for (const uint32_t host : stripe) used[host] = 0;
  for (auto& [host, index] : used) {
    index = static_cast<uint16_t>(record.holders.size());
    record.holders.push_back(vaults.at(host));
  }
  for (const auto& stripe : placement.holders)
    for (const uint32_t host : stripe) record.held_by.push_back(used[host]);
}

}  // namespace rhz::recovery
