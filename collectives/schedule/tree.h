// All-reduce along trees: partials go up to the chunk's root, which makes the final value; that
// goes down the same way.
#pragma once

#include "collectives/schedule/schedule.h"

namespace rhz {

// Two binary trees (after Sanders, Speck and Träff, "Two-tree algorithms for full bandwidth
// broadcast, reduction and scan", 2009): what is an inner rank of one is a leaf of the other, and
// chunks take turns.  2 log2 n messages in a row.
Schedule make_tree_allreduce(const std::vector<Rank>& ranks, Rank self);

// Recursive halving, then doubling (Rabenseifner, "Optimization of collective reduction
// operations", 2004).  Seen from one chunk that is a binomial tree whose root is the chunk's owner,
// and the owners' trees together use all links alike: 2 log2 n messages in a row, and the bytes of
// a ring.  Ranks beyond the largest power of two hang below a partner as leaves.
Schedule make_halving_allreduce(const std::vector<Rank>& ranks, Rank self);

// Inside a host a chain of its ranks, across hosts a ring of one rank of each: `hosts` holds the
// ranks of each, in ring order. Which of a host's ranks stands in that ring changes from chunk to
// chunk.
Schedule make_hierarchical_allreduce(const std::vector<std::vector<Rank>>& hosts, Rank self);

}  // namespace rhz
