// The rule of docs/protocol.md that is switched off (runtime/base/canary.h) while this lives; the
// cores' own assertions pass meanwhile, for an oracle has to see it.
#pragma once

#include "runtime/base/canary.h"

namespace rhz::sim {

class Planted {
 public:
  explicit Planted(Rule rule);
  ~Planted();
  Planted(const Planted&) = delete;
  Planted& operator=(const Planted&) = delete;
};

}  // namespace rhz::sim
