// Joins: who waits, who may enter at an admit op, who has.
#include <algorithm>

#include "runtime/base/canary.h"
#include "runtime/membership/coordinator.h"

namespace rhz {

// Those who may enter, or get the state in bulk, at the next admit op.
std::vector<PeerId> Coordinator::waiting() const {
  if (knows_members_only()) return {};
  const bool bulk_taken = somebody_pulls_in_bulk();
  std::vector<const Peer*> peers;
  for (const auto& [id, peer] : peers_) {
    if (is_member(id) || !is_here(peer) || peer.state.bulk == BulkStand::kPulling) continue;
    if (peer.state.bulk == BulkStand::kWanted && bulk_taken) continue;
    peers.push_back(&peer);
  }
  std::sort(peers.begin(), peers.end(), [](const Peer* a, const Peer* b) {
    return std::tie(a->since, a->info.id) < std::tie(b->since, b->info.id);
  });
  std::vector<PeerId> ids;
  for (const Peer* peer : peers) ids.push_back(peer->info.id);
  return ids;
}

// Members keep one copy of their state for newcomers: the next one is taken when nobody needs the last.
bool Coordinator::somebody_pulls_in_bulk() const {
  return !knows_members_only() && std::any_of(peers_.begin(), peers_.end(), [&](const auto& p) {
    return !is_member(p.first) && is_here(p.second) && p.second.state.bulk == BulkStand::kPulling;
  });
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
  if (admit_over_ != kNoOp && message.op <= admit_over_ && !canary(Rule::kJoin3)) return;
  peer.admit = message;
  maybe_admit(now);
}

// Rule 4 of joins, the cautious half: the round starts when every member stands at the admit op.  Newcomers that want the state
// in bulk get it, and the members go on; the others may enter now.  Never both at one op: who stands for the one would wait for the other.
void Coordinator::maybe_admit(Time now) {
  if (!resolved() || admission_ || view_.size() == 0) return;
  const auto elected = elect();
  if (!elected) return;
  AdmitRecord record{elected->op, {}, elected->revision, elected->root, {}};
  std::vector<PeerId> ready, wanting;
  for (PeerId id : waiting())
    (peers_.at(id).state.bulk == BulkStand::kWanted ? wanting : ready).push_back(id);
  for (auto* ids : {&ready, &wanting})
    if (!elected->nobody.is_ok()) refuse_newcomers(std::exchange(*ids, {}), elected->nobody);
  std::set<Slot> taken;
  for (const MemberInfo& member : view_.members) taken.insert(member.slot);
  auto seat = [&](const std::vector<PeerId>& ids, std::vector<MemberInfo>& out) {
    for (PeerId id : ids) {
      Peer& peer = peers_.at(id);
      if (Status foreign = foreign_tensors(peer.state); !foreign) {
        refuse_newcomers({id}, foreign);
        continue;
      }
      MemberInfo info = peer.info;
      info.slot = vacant_slot(taken, peer.info.slot);
      if (info.slot == kAnySlot) info.slot = vacant_slot(taken, kAnySlot);
      if (info.slot == kAnySlot) continue;
      taken.insert(info.slot);
      out.push_back(info);
    }
  };
  seat(ready, record.joiners);
  if (record.joiners.empty()) seat(wanting, record.bulk);
  append(record);
  if (!admission_) {  // nobody enters
    for (const MemberInfo& newcomer : record.bulk) {
      Peer& peer = peers_.at(newcomer.id);
      peer.state.bulk = BulkStand::kPulling;
      peer.bulk_since = now;
      start_sync(peer, record);
    }
    for (auto& [id, peer] : peers_) peer.admit.reset();
    if (!record.bulk.empty()) tell_pending();
    return;
  }
  admission_->started = now;
  for (const MemberInfo& joiner : admission_->record.joiners) start_sync(peers_.at(joiner.id), admission_->record);
}

void Coordinator::refuse_newcomers(const std::vector<PeerId>& ids, const Status& why) {
  for (PeerId id : ids) {
    refuse(peers_.at(id).session, why);
    peers_.erase(id);
  }
}

void Coordinator::start_sync(const Peer& joiner, const AdmitRecord& admit) {
  auto names = [&](const std::vector<MemberInfo>& list) {
    return std::any_of(list.begin(), list.end(),
                       [&](const MemberInfo& m) { return m.id == joiner.info.id; });
  };
  if (!names(admit.joiners) && !names(admit.bulk)) return;
  SyncStartMessage message{term_, admit, {}};
  for (const MemberInfo& member : view_.members) {
    const Peer& peer = peers_.at(member.id);
    const bool equal = !peer.admit || peer.admit->root == admit.root;
    if (equal && peer.state.strategy != SyncStrategy::kReceiveOnly) message.donors.push_back(member);
  }
  send(joiner.session, std::move(message));
}

void Coordinator::synced(Time now, Peer& peer, const SyncedMessage& message) {
  if (peer.state.bulk == BulkStand::kPulling) {  // with or without success: the rest comes at an admit op
    peer.state.bulk = BulkStand::kHad;
    return tell_pending();
  }
  if (!admission_ || message.op != admission_->record.op) return;
  const AdmitRecord& record = admission_->record;
  // R2: only with the logged revision and root.
  const bool right = message.failed.is_ok() && message.revision == record.revision &&
                     message.root == record.root;
  (right || canary(Rule::kJoin4) ? admission_->synced : admission_->failed).insert(peer.info.id);
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
      const Duration patience = here ? timing_.sync_timeout : timing_.joiner_grace;
      if (connected && !here) continue;  // frozen: the members do not wait for it
      const Time since = here || at == peers_.end() ? admission_->started : at->second.lost;
      if (now < since + patience || canary(Rule::kGone)) return;  // still at it
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

// Who takes too long, or went silent, keeps nobody else from it any more.
Time Coordinator::watch_bulk(Time now) {
  Time next = kNever;
  for (auto& [id, peer] : peers_) {
    if (knows_members_only()) break;
    if (is_member(id) || peer.session == 0 || peer.state.bulk != BulkStand::kPulling) continue;
    if (now >= peer.bulk_since + timing_.bulk_timeout) peer.state.bulk = BulkStand::kHad;
    else next = std::min(next, now + milliseconds(config_.heartbeat_ms));
  }
  if (view_.epoch != Epoch(0)) tell_pending();
  return next;
}

// Newcomers for whom there is no slot, and joiners that do not get on.
Time Coordinator::watch_newcomers(Time now) {
  Time next = watch_bulk(now);
  if (admission_) {
    maybe_enter(now);
    next = std::min(next, now + milliseconds(config_.heartbeat_ms));
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
