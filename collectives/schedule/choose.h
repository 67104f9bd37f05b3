// Which algorithm an op takes.  A function of what all its ranks agree on, so that all of them take
// the same one.
#pragma once

#include <optional>
#include <string_view>

#include "collectives/schedule/schedule.h"
#include "runtime/agreement/view.h"

namespace rhz {

// Numbers travel in an op's signature.
enum class Algorithm : uint8_t {
  kAuto = 0,
  kRing = 1,
  kDirect = 2,
  kDoubling = 3,
  kHalving = 4,
  kTree = 5,
  kHierarchical = 6,
};
inline constexpr uint32_t kAlgorithms = 7;

const char* name(Algorithm algorithm);
std::optional<Algorithm> algorithm_named(std::string_view name);

// kAuto is made concrete; `ring`: the participants, ranks of `view`.
Algorithm choose(Algorithm wanted, uint64_t bytes, const View& view, const std::vector<Rank>& ring);
Schedule make_allreduce(Algorithm algorithm, const View& view, const std::vector<Rank>& ring,
                        Rank self);

}  // namespace rhz
