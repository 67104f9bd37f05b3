// The ways of chunks that not everybody adds to, or not everybody needs.
#pragma once

#include "collectives/schedule/schedule.h"

namespace rhz {

// A value that `holders` have goes to those of `needers` that lack it: round the ring, each from
// the nearest holder before it, handed on by those between; with `direct`, straight to the one who
// needs it.  Empty program: nothing to do here.
Program make_carry(const std::vector<Rank>& ring, Rank self, const std::vector<Rank>& holders,
                   const std::vector<Rank>& needers, bool direct);

// A partial goes on from way.front(), who has it, along `way`, all of whom add their input; the last
// one makes the final value, which goes round the ring.
Program make_resume(const std::vector<Rank>& ring, Rank self, const std::vector<Rank>& way);

// A reduction that ends at `target`: the ring, cut behind it.  The rank behind the cut, where a
// chunk's way begins, hears when it is over: that paces it, as the value's coming round does in an
// all-reduce.
Program make_chain(const std::vector<Rank>& ring, Rank self, Rank target);

}  // namespace rhz
