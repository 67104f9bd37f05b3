// What a vault holds of others: shards by (stage, generation, stripe, index), each with its block
// digests.  Of a stage there are two generations at most: the newest sealed one, and the one before
// or the one that is being written.  A generation is sealed on the log's word only, and the one
// before the newest sealed one goes when a newer one begins to be written, never before (R3): so
// that a run may go back to it, while some other stage has no newer one.  What a vault holds dies
// with it.
//
// A step function: requests in, replies out (vault_messages.h).  Owned by the vault; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "recovery/parity/coding_run.h"
#include "recovery/shards/vault_messages.h"

namespace rhz::recovery {

class ShardStore {
 public:
  // B1: shards take no more than `limit_bytes`.
  explicit ShardStore(uint64_t limit_bytes) : limit_bytes_(limit_bytes) {}

  // kState: stale, not begun, or older than what is sealed.  kMemory: over the limit, with both
  // numbers, or the system has none left.  kCorrupt: a shard that is not held, or not any more.
  VaultReply handle(const VaultRequest& request);

  // Digests about `budget_bytes` more of what is held, and drops shards that do not match any more.
  // True when it has been once round.
  bool scrub(uint64_t budget_bytes);

  uint64_t bytes() const { return bytes_; }
  uint64_t limit_bytes() const { return limit_bytes_; }
  uint64_t dropped_corrupt() const { return dropped_corrupt_; }

  // What a tool or a test looks at.
  struct Summary {
    uint64_t revision = 0;
    bool sealed = false;
    size_t shards = 0;
  };
  std::vector<Summary> generations(uint32_t stage) const;
  // A complete shard's memory; empty when there is none.
  MutableBytes memory(uint32_t stage, uint64_t revision, uint32_t stripe, uint32_t shard);

 private:
  using Place = std::pair<uint32_t, uint32_t>;  // stripe, shard
  struct Shard {
    std::unique_ptr<std::byte[]> memory;  // nobody clears it: it is read when it is complete
    uint64_t size = 0;
    MutableBytes bytes() const { return {memory.get(), size}; }
    BlockDigests digests;     // of blocks that are here
    std::vector<bool> here;   // by block
    uint64_t blocks_due = 0;  // 0: complete
  };
  struct Generation {
    Epoch begun;
    bool sealed = false;
    std::map<Place, Shard> shards;
  };
  struct Stage {
    Epoch epoch;  // newest one seen
    std::map<uint64_t, Generation> generations;
  };

  Status begin(Stage& stage, const VaultRequest& request);
  Status put(Stage& stage, const VaultRequest& request, ConstBytes& reply);
  void seal(Stage& stage, uint64_t revision, uint64_t before);
  Status discard(Stage& stage, uint64_t revision);
  Status read(const VaultRequest& request, ConstBytes& reply);
  Result<Shard*> open_shard(Generation& generation, const VaultRequest& request);
  Shard* find(const VaultRequest& request);
  void drop(const Generation& generation);

  uint64_t limit_bytes_;
  uint64_t bytes_ = 0;
  std::map<uint32_t, Stage> stages_;
  Digest answer_{};
  uint64_t dropped_corrupt_ = 0;
  // Where scrub() goes on: the first shard not before this one, and its block.
  std::tuple<uint32_t, uint64_t, Place> scrub_at_{};
  uint64_t scrub_block_ = 0;
};

}  // namespace rhz::recovery
