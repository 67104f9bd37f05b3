// O5, op by op: in the liveness phase every op of a process in the healed core ends inside a bound (docs/testing.md, "Simulator").
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "tests/sim/payload.h"
#include "tests/sim/world.h"

namespace rhz::sim {

class Deadlines {
 public:
  Deadlines(const World& world, const Config& config) : world_(world), config_(config) {}

  void begun(NodeIndex who, OpKey op, Duration timeout, uint64_t bytes);
  // What was wrong; empty: nothing.
  std::string ended(NodeIndex who, OpKey op);
  void gone(NodeIndex who);
  // From now on; of these processes.  `slowest`: a message between any two.
  void healed(std::set<NodeIndex> core, Duration slowest);
  // Of the ops that have not ended.
  std::string look() const;

 private:
  struct Open {
    Time begun{};
    Duration timeout{};
  };
  using Key = std::pair<NodeIndex, OpKey>;
  Time due(const Open& open) const;
  std::string check(const Key& key, const Open& open) const;

  const World& world_;
  const Config& config_;
  Time healed_ = kNever;
  Duration slowest_{};
  std::set<NodeIndex> core_;
  std::map<Key, Open> open_;
  uint64_t most_bytes_ = 0;  // of an op so far: any that is ahead of another one may be as large
};

}  // namespace rhz::sim
