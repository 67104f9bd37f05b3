// One run in a process of its own, which may end in an assertion, a crash or never.
#pragma once

#include <functional>
#include <string>

namespace rhz::sim {

struct Verdict {
  std::string text;  // first line of what was found; empty: nothing
  bool oracle =
      false;  // found by an oracle or the liveness check; otherwise the process ended by a signal
};

// `run` returns the violation.
Verdict trial(const std::function<std::string()>& run);

}  // namespace rhz::sim
