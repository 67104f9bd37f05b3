// Views and resolutions.
#include <algorithm>

#include "runtime/base/assert.h"
#include "runtime/base/canary.h"
#include "runtime/membership/coordinator.h"

namespace rhz {
namespace {
constexpr size_t kMaxFaultLines = 32;

bool has_fail(const SealReport& report) {
  return std::any_of(report.groups.begin(), report.groups.end(), [](const GroupReport& group) {
    return std::any_of(group.open.begin(), group.open.end(), [](const OpReport& op) { return !op.fail.is_ok(); });
  });
}
}  // namespace

void Coordinator::maybe_first_view(Time now) {
  if (view_.epoch != Epoch(0)) return;
  const std::vector<PeerId> ready = waiting();
  if (ready.size() < config_.world) return;
  std::vector<MemberInfo> members;
  std::set<Slot> taken;
  auto seat = [&](PeerId id, bool chosen) {
    MemberInfo& info = peers_.at(id).info;
    if ((info.slot != kAnySlot) != chosen) return;
    if (chosen && taken.contains(info.slot)) info.slot = kAnySlot;  // asked for twice: the first has it
    if (info.slot == kAnySlot && chosen) return;
    if (!chosen) info.slot = vacant_slot(taken, kAnySlot);
    taken.insert(info.slot);
    members.push_back(info);
  };
  const std::vector<PeerId> founders(ready.begin(), ready.begin() + config_.world);
  for (PeerId id : founders) seat(id, true);
  for (PeerId id : founders)
    if (std::none_of(members.begin(), members.end(), [&](auto& m) { return m.id == id; }))
      seat(id, false);
  new_view(now, std::move(members), "founded");
}

void Coordinator::new_view(Time now, std::vector<MemberInfo> members, std::string cause) {
  std::sort(members.begin(), members.end(),
            [](const MemberInfo& a, const MemberInfo& b) { return a.slot < b.slot; });
  for (auto& [id, peer] : peers_) peer.report.reset();
  accusations_.clear();
  judge_at_ = kNever;
  view_logged_ = now;
  auto has_left = [&](const Edge& edge) {
    auto in = [&](PeerId id) {
      return std::any_of(members.begin(), members.end(), [&](auto& m) { return m.id == id; });
    };
    return !in(edge.first) || !in(edge.second);
  };
  std::erase_if(broken_, has_left);
  std::erase_if(tried_again_, [&](const auto& tried) { return has_left(tried.first); });
  append(ViewRecord{View{view_.epoch.next(), std::move(members), std::move(cause)}});
}

// And whoever cannot be reached any more without them: the ring that avoids a broken edge may have led through one of these.
void Coordinator::remove(Time now, std::vector<PeerId> ids, std::string cause) {
  View left = view_;
  auto drop = [&](PeerId id) {
    std::erase_if(left.members, [&](const MemberInfo& member) { return member.id == id; });
  };
  for (PeerId id : ids) drop(id);
  if (try_edges_again(now, {left})) cause += (cause.empty() ? "" : "; ") + std::string("broken edges are tried again");
  for (PeerId id : unroutable(left)) {
    drop(id);
    ids.push_back(id);
    cause += (cause.empty() ? "" : "; ") + ("unreachable by the others: slot " + std::to_string(peers_.at(id).info.slot.value));
  }
  for (PeerId id : ids)
    if (!peers_.at(id).leaving) evidence_at_ = std::min(evidence_at_, now);
  new_view(now, std::move(left.members), cause);
  for (PeerId id : ids) {
    const Peer& peer = peers_.at(id);
    if (peer.session != 0) {
      const bool left = peer.leaving;
      refuse(peer.session, left ? Status(Code::kClosed, "left")
                                : Status(Code::kEvicted, "removed from the run: " + cause));
    }
    peers_.erase(id);
  }
  if (view_.size() == 0) return close_run();
  told_pending_.first = ~0u;
  tell_pending();
}

// The last member is gone, and the state with it: nobody can be admitted any more.
void Coordinator::close_run() {
  admission_.reset();
  for (auto& [id, peer] : std::exchange(peers_, {}))
    if (peer.session != 0)
      refuse(peer.session,
             Status(Code::kState, "this run is over: its last member is gone; start a new one"));
}

void Coordinator::sealed(Time now, Peer& peer, const SealedMessage& message) {
  if (message.report.epoch != view_.epoch || resolved() || !is_member(peer.info.id)) return;
  peer.report = message.report;
  maybe_resolve(now);
}

std::vector<PeerId> Coordinator::contributors(Epoch lineage, OpSeq seq) const {
  std::vector<PeerId> out;
  auto at = history_.find(lineage);
  if (at == history_.end()) return out;
  for (PeerId id : at->second) {
    auto first = first_op_.find(id);
    if (first != first_op_.end() && first->second <= seq) out.push_back(id);
  }
  return out;
}

GroupResolution Coordinator::resolve_root() {
  ResolveInput input;
  input.view = &view_;
  for (const MemberInfo& member : view_.members) {
    input.reports.push_back(&*peers_.at(member.id).report);
    auto first = first_op_.find(member.id);
    input.first_op.push_back(first != first_op_.end() ? first->second
                             : admit_open_ && !canary(Rule::kFirst) ? admit_op_.next()
                                                      : OpSeq(0));
  }
  const Edges broken = broken_edges(view_);
  input.relayed = !broken.empty();
  input.ring = make_ring(view_.size(), broken);
  if (input.ring.empty()) input.ring = make_ring(view_.size(), {});
  auto is_old = [&](const MemberInfo& member) { return first_op_.contains(member.id); };
  const bool gone = canary(Rule::kJoin5) && std::all_of(view_.members.begin(), view_.members.end(), is_old);
  input.admit_ended = admit_open_ && !gone ? admit_op_ : kNoOp;
  input.aborts = aborts(kRootGroup);
  input.contributors = [this](Epoch lineage, OpSeq seq) { return contributors(lineage, seq); };
  ResolveOutput output = resolve(input);
  RHZ_ASSERT("L1", !output.lineages_disagree);
  return std::move(output.group);
}

void Coordinator::maybe_resolve(Time now) {
  const bool bare = canary(Rule::kAbort2) && view_.cause.starts_with("op ") &&
                    std::any_of(peers_.begin(), peers_.end(), [](const auto& p) { return p.second.report && has_fail(*p.second.report); });
  for (const MemberInfo& member : view_.members) {
    Peer& peer = peers_.at(member.id);
    if (!peer.report && (canary(Rule::kF) || bare)) peer.report = SealReport{view_.epoch, {}};
    if (!peer.report) return;  // rule F: of every member
  }
  const auto groups = reported_groups();
  const std::vector<View> rings = views_of(groups);
  try_edges_again(now, rings);
  if (auto lost = unroutable(rings); !lost.empty()) return remove(now, std::move(lost), "no ring is left in a group");
  Resolution resolution{view_.epoch, {resolve_root()}, broken_edges(view_)};
  for (const auto& [id, members] : groups) resolution.groups.push_back(resolve_group(id, members));
  append(ResolveRecord{std::move(resolution)});
  const auto heal = evidence_at_ == kNever ? Duration::zero() : now - evidence_at_;
  faults_.push_back(
      {view_.epoch, view_.cause,
       static_cast<uint64_t>(std::chrono::duration_cast<milliseconds>(now - started_).count()),
       static_cast<uint64_t>(std::chrono::duration_cast<microseconds>(heal).count())});
  if (faults_.size() > kMaxFaultLines) faults_.pop_front();
  evidence_at_ = kNever;
  maybe_admit(now);
  maybe_enter(now);
}

void Coordinator::fail(Time now, const Peer& peer, const FailMessage& message) {
  if (!is_member(peer.info.id)) return;
  // Raised before the newest seal: it is in the report, or it will be raised again.
  if (message.epoch != view_.epoch || !resolved()) return;
  new_view(now, view_.members,
           "op " + std::to_string(message.seq.value) +
               (message.group == kRootGroup ? "" : " of a group") + " failed: " + message.status.text());
}

}  // namespace rhz
