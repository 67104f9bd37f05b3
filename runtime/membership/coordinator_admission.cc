// Joins: who waits, who may enter at an admit op, who has.
#include <algorithm>

#include "runtime/membership/coordinator.h"

namespace rhz {

std::vector<PeerId> Coordinator::waiting() const {
  std::vector<const Peer*> peers;
  for (const auto& [id, peer] : peers_)
    if (!is_member(id) && peer.session != 0 && !silent(peer, last_tick_)) peers.push_back(&peer);
  std::sort(peers.begin(), peers.end(), [](const Peer* a, const Peer* b) {
    return std::tie(a->since, a->info.id) < std::tie(b->since, b->info.id);
  });
  std::vector<PeerId> ids;
  for (const Peer* peer : peers) ids.push_back(peer->info.id);
  return ids;
}

// The slot asked for if it is free, otherwise the lowest free one; kAnySlot when all are taken.
Slot Coordinator::vacant_slot(const std::set<Slot>& taken, Slot wanted) const {
  if (wanted != kAnySlot) return taken.contains(wanted) ? kAnySlot : wanted;
  for (uint32_t s = 0; s < config_.max_world; ++s)
    if (!taken.contains(Slot(s))) return Slot(s);
  return kAnySlot;
}

void Coordinator::admit_begun(Time now, Peer& peer, const AdmitBegunMessage& message) {
  if (!is_member(peer.info.id)) return;
  // Said again before the answer came: an admit op is decided once.
  if (admit_over_ != kNoOp && message.op <= admit_over_) return;
  peer.admit = message;
  maybe_admit(now);
}

// Rule 4 of joins, the cautious half: the round starts when every member stands at the admit op.
void Coordinator::maybe_admit(Time now) {
  if (!resolved() || admission_ || view_.size() == 0) return;
  std::map<std::pair<uint64_t, Digest>, uint32_t> votes;
  OpSeq op = kNoOp;
  Digest shape{};
  for (const MemberInfo& member : view_.members) {
    const Peer& peer = peers_.at(member.id);
    if (!peer.admit || (op != kNoOp && peer.admit->op != op)) return;
    op = peer.admit->op;
    shape = peer.admit->state_shape;
    ++votes[{peer.admit->revision, peer.admit->root}];
  }
  const auto popular = std::max_element(
      votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  AdmitRecord record{op, {}, popular->first.first, popular->first.second};
  std::set<Slot> taken;
  for (const MemberInfo& member : view_.members) taken.insert(member.slot);
  for (PeerId id : waiting()) {
    Peer& peer = peers_.at(id);
    if (peer.state_shape != shape) {
      refuse(peer.session, Status(Code::kDiverged, "the tensors registered here differ from the members' "
                                                   "in name, dtype or count"));
      peers_.erase(id);
      continue;
    }
    MemberInfo info = peer.info;
    info.slot = vacant_slot(taken, peer.info.slot);
    if (info.slot == kAnySlot) info.slot = vacant_slot(taken, kAnySlot);
    if (info.slot == kAnySlot) continue;
    taken.insert(info.slot);
    record.joiners.push_back(info);
  }
  append(std::move(record));
  if (!admission_) {  // nobody enters
    for (auto& [id, peer] : peers_) peer.admit.reset();
    return;
  }
  admission_->started = now;
  for (const MemberInfo& joiner : admission_->record.joiners) start_sync(peers_.at(joiner.id));
}

void Coordinator::start_sync(const Peer& joiner) {
  const auto& joiners = admission_->record.joiners;
  if (std::none_of(joiners.begin(), joiners.end(),
                   [&](const MemberInfo& m) { return m.id == joiner.info.id; }))
    return;
  SyncStartMessage message{term_, admission_->record, {}};
  for (const MemberInfo& member : view_.members) {
    const Peer& peer = peers_.at(member.id);
    const bool equal = !peer.admit || peer.admit->root == admission_->record.root;
    if (equal) message.donors.push_back(member);
  }
  send(joiner.session, std::move(message));
}

void Coordinator::synced(Time now, Peer& peer, const SyncedMessage& message) {
  if (!admission_ || message.op != admission_->record.op) return;
  const AdmitRecord& record = admission_->record;
  // R2: only with the logged revision and root.
  const bool right = message.failed.is_ok() && message.revision == record.revision &&
                     message.root == record.root;
  (right ? admission_->synced : admission_->failed).insert(peer.info.id);
  maybe_enter(now);
}

void Coordinator::maybe_enter(Time now) {
  if (!admission_ || !resolved()) return;
  std::vector<MemberInfo> members = view_.members;
  std::string cause;
  for (const MemberInfo& joiner : admission_->record.joiners) {
    auto at = peers_.find(joiner.id);
    const bool connected = at != peers_.end() && at->second.session != 0;
    const bool here = connected && !silent(at->second, now);
    if (admission_->failed.contains(joiner.id)) continue;
    if (!here || !admission_->synced.contains(joiner.id)) {
      const Duration patience = here ? timing_.sync_timeout : timing_.reconnect_grace;
      if (connected && !here) continue;  // frozen: the members do not wait for it
      const Time since = here || at == peers_.end() ? admission_->started : at->second.lost;
      if (now < since + patience) return;  // still at it
      continue;
    }
    at->second.info = joiner;
    members.push_back(joiner);
    cause += (cause.empty() ? "joined: slot " : ", ") + std::to_string(joiner.slot.value);
  }
  const OpSeq op = admission_->record.op;
  for (auto& [id, peer] : peers_) peer.admit.reset();
  std::erase_if(peers_, [&](const auto& p) { return !is_member(p.first) && p.second.session == 0; });
  if (cause.empty()) {
    append(AdmitRecord{op, {}, 0, {}});
  } else {
    new_view(now, std::move(members), std::move(cause));
  }
  tell_pending();
}

// Newcomers for whom there is no slot, and joiners that do not get on.
Time Coordinator::watch_newcomers(Time now) {
  Time next = kNever;
  if (admission_) {
    maybe_enter(now);
    next = now + milliseconds(config_.heartbeat_ms);
  }
  if (admission_ || view_.epoch == Epoch(0)) return next;
  for (PeerId id : waiting()) {
    Peer& peer = peers_.at(id);
    if (view_.size() < config_.max_world) break;
    if (now < peer.since + timing_.full_grace) {
      next = std::min(next, peer.since + timing_.full_grace);
      continue;
    }
    refuse(peer.session,
           Status(Code::kWorldFull,
                  "all " + std::to_string(config_.max_world) +
                      " slots of the run are taken; start the coordinator with a larger "
                      "--max-world, or wait for a peer to leave"));
    peers_.erase(id);
    tell_pending();
  }
  return next;
}

}  // namespace rhz
