// What a group of peers is in a view: docs/protocol.md, "Groups".  Pure functions, of what the
// members and the coordinator agree on.
#pragma once

#include <vector>

#include "runtime/agreement/resolution.h"
#include "runtime/agreement/view.h"

namespace rhz {

// Sub-communicators that a peer may have open at once (B1), and as many more that it has closed and
// others have not.  Their reports have to fit into one message.
inline constexpr uint32_t kMaxSubgroups = 64;

// Of the sub-communicator that this op of that group makes of those who gave this colour.  Of 64
// bits that a hash has mixed: that two groups of a run have one number is as good as impossible,
// and those who would be in both refuse the second.
GroupId make_group_id(GroupId parent, OpSeq split, uint32_t colour);

// The members of the group that are still in the view, in the order of the group: their positions
// here are the ranks of the group.
View group_view(const View& run, const std::vector<PeerId>& members);

// Those of the run's broken edges that lie within the group, as its ranks.
Edges edges_within(const View& group, const View& run, const Edges& broken);

// A group of which nothing is in flight.  The ring is empty where none avoids all broken edges.
GroupResolution fresh_group(GroupId id, const View& group, const Edges& broken);

}  // namespace rhz
