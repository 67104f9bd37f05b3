// Control messages made of a tape, small enough that they meet each other: of a handful of peers, epochs and ops.
#pragma once

#include "runtime/agreement/message.h"
#include "tests/fuzz/fuzz.h"

namespace rhz::fuzz {

inline constexpr uint32_t kPeers = 4;
inline PeerId peer_id(uint32_t n) { return {9, n + 1}; }

// What peer `n` may say to its coordinator.
ControlMessage message_of_peer(Tape& tape, uint32_t n, Epoch epoch);
// A seal's report.
SealReport report_of(Tape& tape, Epoch epoch);

}  // namespace rhz::fuzz
