// All states that one step leads to: every frame delivered, every record observed, every move of
// the application, of the coordinator, and of bad luck.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/model/facts.h"
#include "tests/model/findings.h"

namespace rhz::model {

enum class Action : uint8_t {
  kNothing,
  kDeliver,       // peer: source; to: destination; kind, op, chunk, epoch: of the frame
  kObserve,       // peer; index: of the record
  kBegin,         // peer, op
  kWave,          // peer, op
  kQuorum,        // peer, op
  kLearn,         // peer, op
  kReport,        // peer
  kResolve,       // epoch
  kDetect,        // peer
  kCrash,         // peer
  kSuspect,       // peer
  kFailOver,      //
  kLoseTail,      // kLostTail
  kFail,          // peer, op
  kTellFail,      // peer, op: kFailVolatile
  kSealForFail,   //
  kEnter,         // peer: the donor, if there is one
  kAdmit,         // op
  kSync,          // peer
  kGiveUp,        // peer
  kNobodyJoined,  //
};

// What led to a state, for the trace.  Bytes, because there is one per state.
struct Step {
  Action action{};
  uint8_t peer = 0;
  uint8_t to = 0;
  uint8_t op = 0;
  uint8_t chunk = 0;
  uint8_t epoch = 0;
  uint8_t index = 0;
  Frame kind{};
};

struct Successor {
  Step step;
  bool fault;  // bad luck: a state with nothing but faults ahead is a terminal one
  State state;
};

// Appends the successors of a state.  The first one that is a violation is the last one made.
void successors(const Config& config, Findings& findings, const State& state,
                std::vector<Successor>& out);

}  // namespace rhz::model
