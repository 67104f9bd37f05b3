// A Node whose shared tensors are a device's: what it digests, sends and receives is their mirror in the host, which is fetched before and
// put back behind.  docs/gpu.md, "State".
#include "api/src/node.h"

namespace rhz {
namespace {
constexpr Duration kLookAtCarrier = microseconds(500);
}

// `then`, unless something else is wanted before: what is under way ends first, and a device that fails ends this peer.
void Node::carry(Time now, recovery::Carrier::Way way, std::function<void(Time)> then) {
  carry_.wanted = way;
  carry_.then = std::move(then);
  tick_carry(now);
}

Time Node::tick_carry(Time now) {
  if (!carry_.wanted && !carry_.under_way) return kNever;
  if (carrier_->busy()) return now + kLookAtCarrier;
  if (std::exchange(carry_.under_way, false)) {
    if (Status status = carrier_->outcome(); !status) {
      carry_ = {};
      resign(now, status);
      return kNever;
    }
    if (!carry_.wanted) {
      if (const auto then = std::exchange(carry_.then, nullptr)) then(now);
      return now;
    }
  }
  carrier_->begin(*std::exchange(carry_.wanted, std::nullopt));
  carry_.under_way = true;
  return now + kLookAtCarrier;
}

}  // namespace rhz
