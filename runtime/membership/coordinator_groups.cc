// Sub-communicators (docs/protocol.md, "Groups").  The coordinator knows of them what the reports
// say, and remembers nothing but the last resolution.
#include <algorithm>

#include "runtime/agreement/group.h"
#include "runtime/base/assert.h"
#include "runtime/base/canary.h"
#include "runtime/membership/coordinator.h"

namespace rhz {

// All who report a group have its members from the same op; the first one's list counts.
std::map<GroupId, Coordinator::Members> Coordinator::reported_groups() const {
  std::map<GroupId, Members> groups;
  for (const MemberInfo& member : view_.members)
    for (const GroupReport& group : peers_.at(member.id).report->groups)
      if (group.group != kRootGroup) groups.try_emplace(group.group, group.members);
  std::erase_if(groups,
                [&](const auto& group) { return group_view(view_, group.second).size() == 0; });
  return groups;
}

std::vector<View> Coordinator::views_of(const std::map<GroupId, Members>& groups) const {
  std::vector<View> views;
  for (const auto& [id, members] : groups) views.push_back(group_view(view_, members));
  return views;
}

GroupResolution Coordinator::resolve_group(GroupId id, const Members& members) const {
  const View view = group_view(view_, members);
  GroupResolution fresh = fresh_group(id, view, broken_edges(view));
  ResolveInput input;
  input.group = id;
  input.view = &view;
  for (const MemberInfo& member : view.members)
    input.reports.push_back(&*peers_.at(member.id).report);
  input.first_op = std::move(fresh.first_op);
  input.ring = std::move(fresh.ring);
  input.relayed = fresh.relayed;
  input.aborts = aborts(id);
  // Nobody enters a group later: of a view, its members in that view.
  input.contributors = [&](Epoch lineage, OpSeq) {
    std::vector<PeerId> who;
    if (auto past = history_.find(lineage); past != history_.end())
      std::copy_if(past->second.begin(), past->second.end(), std::back_inserter(who),
                   [&](PeerId peer) {
                     return std::find(members.begin(), members.end(), peer) != members.end();
                   });
    return who;
  };
  ResolveOutput output = resolve(input);
  RHZ_ASSERT("L1", !output.lineages_disagree);
  return std::move(output.group);
}

// Of the last resolution; those that are over everywhere by now are left out by whoever resolves.
std::vector<OpDecision> Coordinator::aborts(GroupId group) const {
  std::vector<OpDecision> found;
  if (canary(Rule::kAbort5)) return found;
  for (const GroupResolution& last : resolution_.groups)
    if (last.group == group)
      std::copy_if(last.ops.begin(), last.ops.end(), std::back_inserter(found),
                   [](const OpDecision& op) { return op.outcome == OpDecision::Outcome::kAbort; });
  return found;
}

}  // namespace rhz
