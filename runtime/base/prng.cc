#include "runtime/base/prng.h"

#include <sys/random.h>

#include "runtime/base/assert.h"

namespace rhz {

uint64_t random_u64() {
  uint64_t value = 0;
  // Requests of at most 256 bytes are never cut short once the pool is initialised (getrandom(2)).
  RHZ_ASSERT("entropy", getrandom(&value, sizeof value, 0) == sizeof value);
  return value;
}

PeerId random_peer_id() { return {random_u64(), random_u64() | 1}; }

}  // namespace rhz
