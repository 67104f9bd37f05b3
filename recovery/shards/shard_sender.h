// Carries shards to their holders: tells each vault that they come, sends them in ranges within a
// window and a budget, and takes a shard for held when the vault has answered with its digest.
// Used by whoever protects a stage or protects it again; one generation each.
//
// A step function; the caller keeps a parcel's bytes until it is delivered or its vault is lost.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "recovery/shards/vault_messages.h"

namespace rhz::recovery {

struct Parcel {
  PeerId vault;
  uint32_t stripe = 0, shard = 0;
  ConstBytes bytes;
  Digest digest{};  // tensor digest of the bytes
};

struct SendWindow {
  uint64_t all_bytes = 16u << 20;   // sent and not answered, over all vaults
  uint64_t vault_bytes = 4u << 20;  // and of one vault
};

class ShardSender {
 public:
  ShardSender(VaultRequest begin, SendWindow window) : begin_(begin), window_(window) {}

  void add(const Parcel& parcel);
  // Appends what may be sent now; returns the bytes in it, about `budget_bytes` at most.
  uint64_t pump(uint64_t budget_bytes, std::vector<VaultSend>& out);

  struct Event {
    // Delivered: stripe and shard are held.  Refused: the vault is of no use, with the reason.
    enum class Kind { nothing, delivered, refused } kind = Kind::nothing;
    uint32_t stripe = 0, shard = 0;
    Status status;
  };
  Event reply(PeerId vault, const VaultReply& reply);
  // Forgets all that was to go there; the caller finds other holders.
  void drop(PeerId vault);

  // Forgets all that was to be sent, and the answers to what was.
  void clear();

  bool idle() const { return parcels_.empty(); }
  std::vector<PeerId> told() const;

 private:
  static constexpr uint32_t kMaxTries = 3;  // of a shard that arrives with other bytes
  struct Sending {
    Parcel parcel;
    uint64_t sent = 0, unanswered = 0;  // bytes
    uint32_t tries = 1;
  };
  struct Vault {
    bool begun = false;
    uint64_t unanswered = 0;
  };

  VaultRequest begin_;  // stage, revision, epoch, newest sealed revision
  SendWindow window_;
  std::map<std::pair<uint32_t, uint32_t>, Sending> parcels_;  // by stripe and shard
  std::map<PeerId, Vault> vaults_;
  uint64_t unanswered_ = 0;
  uint64_t round_ = 0;  // clear() begins a new one
};

}  // namespace rhz::recovery
