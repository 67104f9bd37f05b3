// Fetches shards of one stripe of a sealed generation from those who hold them, in ranges and from
// several holders at once, and computes what nobody holds any more from any k others.  Every byte
// has matched the logged digest of its shard before it counts; a shard that does not match is lost,
// and so is one whose vault is gone.
//
// A step function.  Outputs are the caller's memory, and hold rubbish until done().
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <vector>

#include "recovery/parity/coding_run.h"
#include "recovery/shards/generation_shape.h"
#include "recovery/shards/vault_messages.h"

namespace rhz::recovery {

class StripeReader {
 public:
  struct Wanted {
    uint32_t shard = 0;
    MutableBytes output;  // StripeLayout::length() bytes
  };
  // `lost`: shards that nobody holds, by index.  `record` and `shape` outlive the reader.
  StripeReader(const GenerationRecord& record, const GenerationShape& shape, uint32_t stripe,
               std::vector<Wanted> wanted, const std::vector<uint32_t>& lost);

  uint32_t stripe() const { return stripe_; }
  // The next request that is due, where `may(vault, bytes)` lets it go now.
  using MayAsk = std::function<bool(PeerId vault, uint64_t bytes)>;
  std::optional<VaultSend> next(const MayAsk& may);
  // True when the reply was awaited here.
  bool handle(PeerId vault, const VaultReply& reply);
  void vault_lost(PeerId vault);

  // Everything is fetched; compute() what is left to compute, about `budget_bytes` more of it.
  bool fetched() const;
  void compute(uint64_t budget_bytes);
  bool done() const { return computed_; }
  // More than m shards are lost: how many.
  std::optional<uint32_t> hopeless() const;
  // kCorrupt: what was computed does not have the logged digests.
  const Status& status() const { return status_; }
  // Shards that turned out to be lost or corrupt.
  std::vector<uint32_t> lost() const;

 private:
  enum class Condition : uint8_t { idle, asked, fetching, here, lost };
  struct Shard {
    Condition condition = Condition::idle;
    uint64_t length = 0;
    PeerId vault;
    BlockDigests digests;
    MutableBytes bytes;  // output, or scratch
    std::vector<std::byte> scratch;
    uint64_t asked = 0, got = 0;  // bytes
    std::set<uint64_t> open;      // offsets of ranges that are asked for
    bool wanted = false;
  };

  void plan();
  void lose(Shard& shard);
  void take_digests(Shard& shard, ConstBytes bytes, uint32_t index);
  void take_range(Shard& shard, const VaultReply& reply);
  VaultRequest request(VaultVerb verb, uint32_t shard) const;

  const GenerationRecord& record_;
  const GenerationShape& shape_;
  const uint32_t stripe_;
  std::vector<Shard> shards_;
  std::vector<uint32_t> needed_;   // to be fetched, by the present plan
  std::vector<uint32_t> outputs_;  // of the run
  std::optional<CodingRun> run_;
  bool computed_ = false;
  Status status_;
};

}  // namespace rhz::recovery
