// Breadth-first search over all states that a configuration can reach.
#pragma once

#include <cstddef>
#include <optional>
#include <set>
#include <string>

#include "tests/model/config.h"
#include "tests/model/findings.h"
#include "tests/model/visited.h"

namespace rhz::model {

struct Outcome {
  std::size_t states = 0;  // expanded
  std::size_t transitions = 0;
  std::size_t terminal = 0;
  bool truncated = false;  // max_states was reached
  // Where a violation was met: in the expanded state itself, or in a successor of it.
  std::size_t last_expanded = 0;
  std::optional<Successor> violating;
  std::set<std::string> ends;  // outcomes=1: per op and peer what was returned, as rhizome-explore tells it
};

// Stops at the first violation, which is then in `findings`.
Outcome explore(const Config& config, Findings& findings, Visited& visited);

}  // namespace rhz::model
