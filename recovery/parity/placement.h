// Which host holds which shard: no failure domain (a host, a rack) holds more than m shards of a
// stripe, so that the loss of any one of them can be made up for.  Within that rule shards of a
// stripe go to different hosts first, then to different racks, then to whoever holds least.  Pure
// functions, deterministic; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "recovery/parity/erasure_code.h"
#include "runtime/base/status.h"

namespace rhz::recovery {

struct Host {
  std::string name;
  std::string rack;   // empty: the host is a domain of its own
  bool alive = true;  // its vault answers
};

// holders[stripe][shard] is an index into the hosts, which keep their places when one dies.
struct Placement {
  std::vector<std::vector<uint32_t>> holders;
  friend bool operator==(const Placement&, const Placement&) = default;
};

// kArgument: too few domains live for k + m shards; the text says how many there are, and how many
// it takes.
[[nodiscard]] Result<Placement> place(std::span<const Host> hosts, const ErasureCode& code,
                                      uint32_t stripes);

// The same after losses: shards of living holders stay where they are.  Errors as place().
[[nodiscard]] Result<Placement> place_again(std::span<const Host> hosts, const ErasureCode& code,
                                            const Placement& placement);

// How many further failures a stripe stands, whichever they are.
struct Standing {
  uint32_t lost = 0;  // shards whose holder is dead, or that are known to be corrupt
  bool recoverable = true;
  uint32_t hosts = 0;  // any so many hosts may fail …
  uint32_t racks = 0;  // … or any so many racks (hosts without a rack count as racks)
};
// `holders`: of one stripe.  `corrupt`: indices of shards that a digest has refused.
Standing standing(std::span<const Host> hosts, const ErasureCode& code,
                  std::span<const uint32_t> holders, std::span<const uint32_t> corrupt = {});

}  // namespace rhz::recovery
