// What syncs of joiners took: as a joiner, and as a member that stands and serves.
#pragma once

#include <cstdint>

#include "runtime/base/types.h"

namespace rhz {

struct SyncNumbers {
  struct Pull {
    uint64_t fetched_bytes = 0;  // that differed
    uint64_t equal_bytes = 0;    // were there already
    Duration took{};
    uint32_t donors_lost = 0;
    uint64_t number = 0;  // of `pulls`; 0: there was none
  };
  Pull bulk;           // the newest one while the members went on …
  Pull rest;           // … and while they stood
  uint64_t pulls = 0;  // both kinds, ended in any way
  uint64_t updates = 0, update_bytes = 0;  // applied between the two

  uint64_t pauses = 0;  // admit ops that are over here …
  Duration pause{};     // … and how long the newest took, digests and copies included
  Time stood_since{};
  uint64_t copies = 0;  // of the state, taken for newcomers
  uint64_t served_bytes = 0;
};

}  // namespace rhz
