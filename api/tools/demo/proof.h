// What the play has shown, checked against what the trainers said at their end.
#pragma once

#include <string>
#include <vector>

#include "api/tools/demo/script.h"

namespace rhz::demo {

struct Proof {
  bool holds = false;
  std::string text;
};

std::vector<Proof> proofs(const Cast& cast, const Script& script, const DemoOptions& options);

}  // namespace rhz::demo
