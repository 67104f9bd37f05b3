// Ring all-reduce (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", 2009), cut into
// chunks that travel on their own: chunk c starts at position c mod n, collects the inputs of the n ranks one hop at a time, is
// finished by the last of them (its owner), and goes round once more as a final value.
#pragma once

#include "collectives/schedule/schedule.h"

namespace rhz {

// `ring`: the participants in the order in which values travel; contains `self`.
Schedule make_ring_allreduce(const std::vector<Rank>& ring, Rank self);

// Index of `self` in `ranks`, which contains it.
uint32_t position_in(const std::vector<Rank>& ranks, Rank self);

}  // namespace rhz
