// What may happen to one process, and what it does then.  Plain data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/types.h"
#include "tests/explore/messages.h"

namespace rhz::explore {

enum class Kind : uint8_t {
  kStart,     // the process begins; a peer's dials the coordinator
  kFrame,     // of a peer, on a lane
  kHalf,      // of such a frame; nothing else comes on that lane before
  kRest,      // of it
  kWord,      // of the coordinator; at the coordinator: of a peer
  kEnd,       // the control connection ended; a peer dials again at once
  kEdgeDown,  // the transport says that a peer died
  kBegin,     // the program submits its first op
  kTick,      // a timer
};

struct Event {
  Kind kind = Kind::kStart;
  uint8_t peer = 0;  // whose frame, word or death it is
  uint8_t lane = 0;
  MessageId message = kEnd;
  Time now{};
};

struct Out {
  enum class Kind : uint8_t {
    kFrame,    // to a peer, on a lane
    kWord,     // to the coordinator; the coordinator's: to a peer
    kEnd,      // the coordinator's: ends the connection of a peer
    kAppend,   // the coordinator's: `message` is the number of the record
    kChanged,  // the frame of that number would now be read as this
    kTaken,    // the frame of that number is not read any more
  };
  Kind kind = Kind::kFrame;
  uint8_t peer = 0, lane = 0;
  MessageId message = kEnd;
  uint32_t number = 0;
};
using Outs = std::vector<Out>;

}  // namespace rhz::explore
