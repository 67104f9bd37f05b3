#include "runtime/agreement/group.h"

#include "runtime/agreement/resolve.h"
#include "runtime/base/prng.h"

namespace rhz {

GroupId make_group_id(GroupId parent, OpSeq split, uint32_t colour) {
  const uint64_t id = mix64(mix64(mix64(parent.value + 1) + split.value + 1) + colour + 1);
  return GroupId(id != kRootGroup.value ? id : 1);
}

View group_view(const View& run, const std::vector<PeerId>& members) {
  View group{run.epoch, {}, run.cause};
  for (PeerId id : members)
    if (const Rank rank = run.rank_of(id); rank != kNoRank)
      group.members.push_back(run.members[rank.value]);
  return group;
}

Edges edges_within(const View& group, const View& run, const Edges& broken) {
  Edges within;
  for (auto [a, b] : broken) {
    const Rank from = group.rank_of(run.members[a.value].id);
    const Rank to = group.rank_of(run.members[b.value].id);
    if (from != kNoRank && to != kNoRank) within.emplace_back(from, to);
  }
  return within;
}

GroupResolution fresh_group(GroupId id, const View& group, const Edges& broken) {
  GroupResolution fresh;
  fresh.group = id;
  fresh.relayed = !broken.empty();
  fresh.ring = make_ring(group.size(), broken);
  fresh.first_op.assign(group.size(), OpSeq(0));
  return fresh;
}

}  // namespace rhz
