// A process as the operating system sees it: it runs, stands still (what comes waits for it), or is
// gone.
#pragma once

#include <deque>
#include <utility>

#include "tests/sim/world.h"

namespace rhz::sim {

struct Gate {
  bool alive = true;
  bool paused = false;
  std::deque<Action> waiting;

  // True when the action may be carried out now; otherwise it was kept or forgotten.
  bool pass(Action& action) {
    if (alive && !paused) return true;
    if (alive) waiting.push_back(std::move(action));
    return false;
  }
};

}  // namespace rhz::sim
