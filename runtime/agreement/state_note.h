// What a peer says about its registered state when it comes to the coordinator.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/types.h"

namespace rhz {

// Whose state counts where members and joiners differ (RHZ_SYNC_* in rhizome_state.h).
enum class SyncStrategy : uint8_t {
  kPopular = 0,      // gives its state and takes that which most have
  kReceiveOnly = 1,  // takes only: has no vote, and nobody is sent its state
  kSendOnly = 2,     // gives only: its state is the one that counts, and is never overwritten
};

// How far a newcomer is with the bulk of the state, which it pulls while the members go on.
enum class BulkStand : uint8_t {
  kNone = 0,     // wants it at once, while the members stand
  kWanted = 1,
  kPulling = 2,  // from copies that the members have taken
  kHad = 3,      // has it, or could not get it: what is missing comes while the members stand
};

// One tensor, in words for people: "weights", "100 × f32".
struct TensorText {
  std::string name, type;
  friend bool operator==(const TensorText&, const TensorText&) = default;
};
// The registered tensors by rising name, as far as a message has room for them.
struct TensorList {
  static constexpr size_t kMost = 256;
  uint32_t count = 0;  // of all
  std::vector<TensorText> first;
  friend bool operator==(const TensorList&, const TensorList&) = default;
};

// The first difference, in a sentence that names the tensor and both sides; empty: none among those that are listed.
std::string first_difference(const TensorList& here, const TensorList& members);

struct StateNote {
  Digest shape{};  // of all names, dtypes and counts
  TensorList tensors;
  SyncStrategy strategy = SyncStrategy::kPopular;
  BulkStand bulk = BulkStand::kNone;
  friend bool operator==(const StateNote&, const StateNote&) = default;
};

}  // namespace rhz
