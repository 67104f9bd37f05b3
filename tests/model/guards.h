// When a move of a peer is possible.  Asked before a state is copied, and by Member on delivery.
#pragma once

#include "tests/model/facts.h"

namespace rhz::model {

bool may_begin(const Facts& facts, int peer, int op);

// All who need a chunk have said that they hold it: told to a peer that needs none.
bool may_learn(const Facts& facts, int peer, int op);

// What proves to a peer that all participants hold the full result: the op may be freed.
enum class Proof { kNone, kNextOp, kWatermark, kDone };
Proof wave_proof(const Facts& facts, int peer, int op);
// rule=b quorum=n: the op may be released.
bool quorum_known(const Facts& facts, int peer, int op);

// An early frame, or a frame of an op that is not begun here, waits; it is never dropped.
bool must_wait(const Facts& facts, const Message& message);
bool acceptable(const Facts& facts, const Message& message);
// The bytes of a frame are read from its sender's memory at delivery (zero copy): the input for the
// first hop of a reduction, the result (or its private copy) for all-gather.
bool source_reused(const Facts& facts, const Message& message);

}  // namespace rhz::model
