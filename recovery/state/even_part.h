// How n replicas of a stage share what each of them has whole: snapshots, checkpoints.
#pragma once

#include <algorithm>
#include <cstdint>

namespace rhz::recovery {

struct ElementRange {
  uint64_t first = 0;
  uint64_t count = 0;
};

// The part of `count` elements that part `part` of `parts` is given: as even as can be, by rising
// index.
constexpr ElementRange even_part(uint64_t count, uint64_t part, uint64_t parts) {
  const uint64_t each = count / parts, more = count % parts;
  return {part * each + std::min(part, more), each + (part < more ? 1 : 0)};
}

}  // namespace rhz::recovery
