// Who is there: how the parts of a simulated process reach the others.
#pragma once

#include "runtime/base/types.h"
#include "tests/sim/marks.h"
#include "tests/sim/network.h"

namespace rhz::sim {

class SimTransport;
class ControlClient;

class Directory {
 public:
  virtual ~Directory() = default;
  // Null when the process is gone.
  virtual SimTransport* transport(NodeIndex who) = 0;
  virtual ControlClient* control(NodeIndex who) = 0;
  // As soon as that process runs: at once, or when its pause is over; never when it is gone.
  virtual void run(NodeIndex who, Action action) = 0;
  virtual PeerId id_of(NodeIndex who) const = 0;
  // That process ended by itself.
  virtual void gone(NodeIndex who) = 0;
  // It stands at this mark, where it may have to die.
  virtual void reached(NodeIndex who, Mark mark) = 0;
  // It was shown a frame of an epoch that is over for it a second time, and dropped it, as it has to.
  virtual void replayed(NodeIndex who, bool dropped) = 0;
};

// The incarnation's number is in its id, so that nobody has to look it up.  The rest of the id is
// chance, as real ones are.
inline NodeIndex index_of(PeerId id) { return static_cast<NodeIndex>(id.low - 1); }

}  // namespace rhz::sim
