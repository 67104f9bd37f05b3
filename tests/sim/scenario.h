// A run of the simulator as a file: everything that a seed decides before anything happens, written
// out, so that it stays the same run when seeds come to mean something else.
#pragma once

#include <string>

#include "runtime/base/status.h"
#include "tests/sim/config.h"

namespace rhz::sim {

struct Scenario {
  std::string found;  // what was wrong once, in a sentence
  Config config;
};

[[nodiscard]] Status write_scenario(const std::string& path, const Scenario& scenario);
// Fields that the file does not have are those of its seed, or off where they are younger than the first files.  An unknown one is
// an error.
[[nodiscard]] Result<Scenario> read_scenario(const std::string& path);

}  // namespace rhz::sim
