// Suspicion and judgement: who is to be removed, which edges are to be avoided.
#include <algorithm>

#include "runtime/membership/coordinator.h"
#include "runtime/membership/evidence.h"

namespace rhz {

// A connection that was cut comes back, over a long way or where the first packet is lost only after a while.
bool Coordinator::silent(const Peer& peer, Time now) const {
  return now - (peer.session == 0 ? peer.lost : peer.heard) >= milliseconds(config_.suspicion_ms);
}

bool Coordinator::accused(PeerId id) const {
  return std::any_of(accusations_.begin(), accusations_.end(),
                     [&](const auto& a) { return a.first.second == id && !a.second.self_doubt; });
}

bool Coordinator::heard_since(const Peer& peer, const Accusation& accusation) const {
  return peer.session != 0 && peer.words > accusation.words;
}

void Coordinator::suspect(Time now, PeerId accuser, const SuspectMessage& message) {
  if (message.epoch != view_.epoch || !is_member(accuser) || !is_member(message.target)) return;
  if (accuser == message.target || message.evidence > kOfSilence) return;
  if (message.evidence == kTakenBack) return take_back(accuser, message.target);
  auto& accusation = accusations_[{accuser, message.target}];
  const bool surer = accusation.self_doubt && !message.self_doubt;
  if (accusation.evidence == 0 || message.evidence < accusation.evidence || surer)
    accusation = {message.evidence, now, message.self_doubt, peers_.at(message.target).words};
  evidence_at_ = std::min(evidence_at_, now);
  const Duration window = is_hard(message.evidence) ? timing_.hard_window : timing_.soft_window;
  judge_at_ = std::min(judge_at_, now + window);
}

// What connections say is not taken back: they are gone.
void Coordinator::take_back(PeerId accuser, PeerId target) {
  const auto at = accusations_.find({accuser, target});
  if (at == accusations_.end() || at->second.evidence != kOfSilence) return;
  accusations_.erase(at);
  if (accusations_.empty() && resolved()) evidence_at_ = kNever;
}

// A node is at fault when two observers say so; the coordinator is one of them, and hears its own connection.  The kernel's word
// needs no second one, and comes before that connection ends.
const char* Coordinator::node_fault(PeerId id, Time now) const {
  const Peer& peer = peers_.at(id);
  bool hard = false, soft = false;
  for (const auto& [edge, accusation] : accusations_) {
    if (edge.second != id || accusation.self_doubt || !is_member(edge.first)) continue;
    if (is_death(accusation.evidence)) return "its process ended";
    hard |= is_hard(accusation.evidence);
    soft |= now - accusation.at >= timing_.soft_window;
  }
  if (hard && peer.session == 0) return "its connections ended";
  if (!soft || !silent(peer, now)) return nullptr;
  return peer.session == 0 ? "it did not come back" : "silent";
}

std::vector<std::pair<Rank, Rank>> Coordinator::broken_edges(const View& view) const {
  std::vector<std::pair<Rank, Rank>> edges;
  for (const Edge& edge : broken_)
    if (view.contains(edge.first) && view.contains(edge.second))
      edges.emplace_back(view.rank_of(edge.first), view.rank_of(edge.second));
  return edges;
}

// Before a member goes for want of a ring.  An edge that was found broken may have been no more than a moment in which one of its ends
// had no processor, or the loss of the packet by which a connection begins.  Once for each: one that is broken for good is found so again,
// and then it counts.
bool Coordinator::try_edges_again(Time now, const std::vector<View>& rings) {
  if (unroutable(rings).empty()) return false;
  const std::set<Edge> before = broken_;
  std::erase_if(broken_, [&](const Edge& edge) {
    const auto tried = tried_again_.find(edge);
    return tried == tried_again_.end() || now - tried->second >= timing_.edge_memory;
  });
  if (!unroutable(rings).empty()) {
    broken_ = before;
    return false;
  }
  for (const Edge& edge : before)
    if (!broken_.contains(edge)) tried_again_[edge] = now;
  return true;
}

// No ring avoids the broken edges: the member with most of them goes; of equals the one in the higher slot.
std::vector<PeerId> Coordinator::unroutable(View left) const {
  std::vector<PeerId> out;
  while (left.size() > 1 && make_ring(left.size(), broken_edges(left)).empty()) {
    std::vector<uint32_t> count(left.size(), 0);
    for (auto [a, b] : broken_edges(left)) ++count[a.value], ++count[b.value];
    uint32_t worst = 0;
    for (uint32_t r = 0; r < left.size(); ++r)
      if (count[r] >= count[worst]) worst = r;
    out.push_back(left.members[worst].id);
    left.members.erase(left.members.begin() + worst);
  }
  return out;
}

std::vector<PeerId> Coordinator::unroutable(const std::vector<View>& rings) const {
  std::vector<PeerId> out;
  if (broken_.empty()) return out;  // as nearly always
  for (const View& ring : rings)
    for (PeerId id : unroutable(ring))
      if (std::find(out.begin(), out.end(), id) == out.end()) out.push_back(id);
  return out;
}

void Coordinator::judge(Time now) {
  judge_at_ = kNever;
  std::vector<PeerId> dead;
  std::string cause;
  bool rerouted = false;
  for (const MemberInfo& member : view_.members) {
    const char* const why = node_fault(member.id, now);
    if (!why) continue;
    dead.push_back(member.id);
    cause += (cause.empty() ? "lost: slot " : ", ") + std::to_string(member.slot.value) + " (" + why + ")";
  }
  auto is_dead = [&](PeerId id) { return std::find(dead.begin(), dead.end(), id) != dead.end(); };
  for (const auto& [edge, accusation] : accusations_) {
    if (is_dead(edge.second) || is_dead(edge.first) || accusation.self_doubt) continue;
    if (now - accusation.at < timing_.soft_window) {
      judge_at_ = std::min(judge_at_, accusation.at + timing_.soft_window);
      continue;
    }
    // It may be the node: its next word will tell, or that it becomes silent.
    if (!heard_since(peers_.at(edge.second), accusation)) {
      judge_at_ = std::min(judge_at_, now + milliseconds(config_.heartbeat_ms));
      continue;
    }
    // The coordinator hears both ends: the edge is at fault, not a node.
    rerouted |= broken_.insert(std::minmax(edge.first, edge.second)).second;
  }
  if (!dead.empty()) return remove(now, dead, cause);
  if (!rerouted) return;
  if (!unroutable(view_).empty()) return remove(now, {}, "");
  new_view(now, view_.members, "rerouted around a broken edge");
}

// Members whose control connection went away or fell silent.  While nothing is being decided that alone evicts nobody.
Time Coordinator::watch_members(Time now) {
  Time next = kNever;
  const Duration suspicion = milliseconds(config_.suspicion_ms);
  for (const MemberInfo& member : view_.members) {
    const Peer& peer = peers_.at(member.id);
    const Time silent_at = (peer.session == 0 ? peer.lost : peer.heard) + suspicion;
    if (silent_at > now) {
      next = std::min(next, silent_at);
      continue;
    }
    if (accused(member.id)) {
      evidence_at_ = std::min(evidence_at_, now);
      judge_at_ = std::min(judge_at_, now + timing_.hard_window);
    }
    next = std::min(next, now + milliseconds(config_.heartbeat_ms));
  }
  return std::min(next, watch_all_gone(now));
}

// Nobody is left to accuse anybody.  A network that fails as a whole looks alike, hence the long wait.
Time Coordinator::watch_all_gone(Time now) {
  Time since{};
  for (const MemberInfo& member : view_.members) {
    const Peer& peer = peers_.at(member.id);
    if (peer.session != 0) return kNever;
    since = std::max(since, peer.lost);
  }
  if (view_.size() == 0) return kNever;
  if (now < since + timing_.all_gone) return since + timing_.all_gone;
  std::vector<PeerId> all;
  for (const MemberInfo& member : view_.members) all.push_back(member.id);
  remove(now, all, "every member is gone");
  return kNever;
}

// While sealing, the coordinator's own evidence is enough: nobody goes on before the silent one is out.
Time Coordinator::watch_seal(Time now) {
  if (view_.epoch == Epoch(0) || resolved()) return kNever;
  Time next = kNever;
  std::vector<PeerId> dead;
  const Duration suspicion = milliseconds(config_.suspicion_ms);
  for (const MemberInfo& member : view_.members) {
    const Peer& peer = peers_.at(member.id);
    if (peer.report) continue;
    Time due = std::max(peer.lost, view_logged_) + suspicion;  // of a process that is gone there is other evidence
    if (peer.session != 0) {
      // Heard, but it does not seal: something in it is stuck.
      const Duration patience = std::max<Duration>(4 * suspicion, std::chrono::seconds(5));
      due = std::min(peer.heard + suspicion, view_logged_ + patience);
    }
    if (due <= now) dead.push_back(member.id);
    else next = std::min(next, due);
  }
  if (dead.empty()) return next;
  std::string cause;
  for (PeerId id : dead)
    cause += (cause.empty() ? "lost while sealing: slot " : ", ") +
             std::to_string(peers_.at(id).info.slot.value);
  remove(now, dead, cause);
  return now;
}

void Coordinator::tell_pending() {
  const auto ids = waiting();
  const auto bulk = std::count_if(ids.begin(), ids.end(), [&](PeerId id) {
    return peers_.at(id).state.bulk == BulkStand::kWanted;
  });
  const std::pair count{static_cast<uint32_t>(ids.size()), static_cast<uint32_t>(bulk)};
  if (count == told_pending_) return;
  told_pending_ = count;
  for (const MemberInfo& member : view_.members)
    if (const Peer& peer = peers_.at(member.id); peer.session != 0)
      send(peer.session, PendingMessage{term_, count.first, count.second});
}

}  // namespace rhz
