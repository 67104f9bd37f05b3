// Planted bugs: each switches one rule of docs/protocol.md off, and the simulator has to notice
// (tests/sim/canaries.cc; tests/sim/planted.h is the switch).  In the product canary() is the
// constant false and leaves no trace.
#pragma once

namespace rhz {

enum class Rule {
  kNone, kA, kB, kC, kD, kE, kF, kG, kH, kI, kJ, kG2, kG6, kR1, kR3, kR5, kO2, kM,
  kR2,  // of states
  kWave, kW2, kPassing,  // of release; the last one of watermarks in values (W13)
  kAbort1, kAbort2, kAbort3, kAbort4, kAbort5, kAbort6, kAbort8, kAbort9,  // "Errors are uniform too"
  kJoin2, kJoin3, kJoin4, kJoin5, kFirst, kGone,  // of joins
  kInput,  // W14
  kOutput,  // W15
  kTwice, kOldFirst, kDomains,  // of generations of shards: R1, R3, R4
};

#if defined(RHZ_CANARY)
bool canary(Rule rule);
#else
constexpr bool canary(Rule) { return false; }
#endif

}  // namespace rhz
