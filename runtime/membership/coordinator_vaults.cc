// The vaults that hold shards: who is there, and who is told.  Nothing of it is logged.
#include <algorithm>

#include "runtime/membership/coordinator.h"

namespace rhz {
namespace {
constexpr size_t kMaxLostVaults = 4096;  // B1: ids that are refused when they come back
constexpr size_t kMaxLabelBytes = 255;   // B1: host, rack, and each address
constexpr size_t kMaxAddresses = 16;
constexpr uint32_t kSilences = 3;        // suspicion times without a word from a vault
bool is_sound(const VaultInfo& vault) {
  const auto fits = [](const std::string& text) { return text.size() <= kMaxLabelBytes; };
  return vault.holder.vault.valid() && !vault.holder.host.empty() && fits(vault.holder.host) &&
         fits(vault.holder.rack) && !vault.endpoints.empty() &&
         vault.endpoints.size() <= kMaxAddresses &&
         std::all_of(vault.endpoints.begin(), vault.endpoints.end(), fits);
}

}  // namespace

void Coordinator::vault_here(Time now, SessionId session, const VaultHereMessage& message) {
  const Holder& holder = message.vault.holder;
  if (message.run_id != config_.run_id)
    return refuse(session,
                  Status(Code::kRunId, "this coordinator serves the run \"" + config_.run_id +
                                           "\", not \"" + message.run_id + "\"; check --run-id"));
  if (!is_sound(message.vault))
    return refuse(session, Status(Code::kArgument,
                                  "a vault needs an id, a host and an address, each of at most 255 "
                                  "bytes"));
  if (lost_vaults_.contains(holder.vault))
    return refuse(session, Status(Code::kEvicted,
                                  "this vault was given up: what it held has been "
                                  "placed elsewhere; come back as another one"));
  const bool first = !vaults_.contains(holder.vault);
  if (first && vaults_.size() >= kMaxHolders)
    return refuse(session, Status(Code::kWorldFull, "too many vaults"));
  Vault& vault = vaults_[holder.vault];
  if (vault.session != session && vault.session != 0) {  // the old connection is a ghost
    vault_sessions_.erase(vault.session);
    actions_.emplace_back(CloseSession{vault.session});
  }
  vault.info = message.vault;
  vault.session = session;
  vault.heard = now;
  vault_sessions_[session] = holder.vault;
  if (!first) return;
  // Whoever restarted does not wait for the end of its forerunner's grace.
  std::vector<PeerId> replaced;
  for (const auto& [id, other] : vaults_)
    if (id != holder.vault && other.session == 0 && other.info.holder.host == holder.host)
      replaced.push_back(id);
  for (const PeerId id : replaced) lose_vault(id);
  tell_vaults(now);
}

bool Coordinator::vault_disconnected(Time now, SessionId session) {
  const auto at = vault_sessions_.find(session);
  if (at == vault_sessions_.end()) return false;
  if (const auto vault = vaults_.find(at->second); vault != vaults_.end()) {
    vault->second.session = 0;
    vault->second.lost = now;
  }
  vault_sessions_.erase(at);
  return true;
}

void Coordinator::lose_vault(PeerId id) {
  const auto at = vaults_.find(id);
  if (at->second.session != 0) {
    vault_sessions_.erase(at->second.session);
    actions_.emplace_back(CloseSession{at->second.session});
  }
  vaults_.erase(at);
  lost_vaults_.insert(id);
  if (lost_vaults_.size() > kMaxLostVaults) lost_vaults_.erase(lost_vaults_.begin());
}

// Returns when it wants to be called next.
Time Coordinator::watch_vaults(Time now) {
  const Duration silence = kSilences * milliseconds(config_.suspicion_ms);
  Time next = kNever;
  std::vector<PeerId> lost;
  for (const auto& [id, vault] : vaults_) {
    const Time until =
        vault.session == 0 ? vault.lost + timing_.vault_grace : vault.heard + silence;
    if (now >= until)
      lost.push_back(id);
    else
      next = std::min(next, until);
  }
  for (const PeerId id : lost) lose_vault(id);
  const bool complete = vaults_complete(now);
  if (!lost.empty() || complete != told_complete_) tell_vaults(now);
  return complete ? next : std::min(next, vaults_complete_at_);
}

VaultsMessage Coordinator::known_vaults(Time now) const {
  VaultsMessage message{term_, vaults_complete(now), {}};
  for (const auto& [id, vault] : vaults_) message.vaults.push_back(vault.info);
  return message;
}

void Coordinator::tell_vaults(Time now) {
  const VaultsMessage message = known_vaults(now);
  told_complete_ = message.complete;
  for (const auto& [id, peer] : peers_)
    if (peer.session != 0) send(peer.session, message);
}

}  // namespace rhz
