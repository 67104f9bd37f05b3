// Small ops, in which every rank makes the final value itself: few messages in a row instead of few
// bytes.
#pragma once

#include "collectives/schedule/schedule.h"

namespace rhz {

// Everybody sends its input to everybody, and folds all of them in the order of `ranks`: one
// message in a row, n - 1 sent by each.
Schedule make_direct_allreduce(const std::vector<Rank>& ranks, Rank self);

// Recursive doubling (Thakur, Rabenseifner and Gropp, "Optimization of collective communication
// operations in MPICH", 2005, 4.1): in round k partners at distance 2^k exchange what they have.
// ⌈log2 n⌉ messages in a row, and as many sent by each.  Beyond the largest power of two, the last
// ranks hand their input to a partner first and get the final value back.
Schedule make_doubling_allreduce(const std::vector<Rank>& ranks, Rank self);

}  // namespace rhz
