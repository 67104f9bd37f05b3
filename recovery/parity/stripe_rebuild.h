// Gives the lost shards of one stripe back, in three parts:
//
//   verify()             digests what is there, step by step: a corrupt shard counts as lost
//   lost()               which shards those are; kStateLost: more than parity makes up for
//   begin(), rebuild()   compute those that the caller wants, step by step, and digest them
//
// Never hands out bytes that do not match their digests.  Memory is the caller's and does not
// change meanwhile; one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "recovery/parity/coding_run.h"
#include "recovery/parity/erasure_code.h"
#include "recovery/parity/stripe_layout.h"
#include "runtime/base/bytes.h"
#include "runtime/base/status.h"

namespace rhz::recovery {

// What is known about one shard: its digests always (they are in the generation's record), its
// bytes while a holder lives.
struct HeldShard {
  std::optional<ConstBytes> bytes;  // StripeLayout::length() of them
  BlockDigests digests;
};

// What the texts of errors say.
struct LossContext {
  std::string stage;        // "stage 2"
  std::string next_source;  // "the shadow optimizer"
};

class StripeRebuild {
 public:
  // `shards`: all of the stripe, data first.
  StripeRebuild(const ErasureCode& code, const StripeLayout& layout, uint32_t stripe,
                std::vector<HeldShard> shards, LossContext context);

  // Reads about `budget_bytes` more; true when every shard is known to be intact or lost.
  bool verify(uint64_t budget_bytes);
  // After verify(): the lost shards by rising index, missing ones and corrupt ones.  kStateLost:
  // more than m.
  [[nodiscard]] Result<std::vector<uint32_t>> lost() const;

  // `wanted`: some or all of lost(), each with StripeLayout::length() bytes of `outputs`.
  [[nodiscard]] Status begin(std::span<const uint32_t> wanted, std::vector<MutableBytes> outputs);
  // Computes about `budget_bytes` more; true when it is over: see status().
  bool rebuild(uint64_t budget_bytes);
  // kCorrupt: what came out does not have the recorded digests.
  const Status& status() const { return status_; }

 private:
  enum class Condition : uint8_t { unknown, intact, missing, corrupt };

  void verify_block();
  std::vector<uint32_t> intact() const;
  Status compare(uint32_t shard, const BlockDigests& found) const;

  const ErasureCode code_;
  const StripeLayout layout_;
  const uint32_t stripe_;
  const std::vector<HeldShard> shards_;
  const LossContext context_;
  std::vector<Condition> conditions_;
  uint32_t next_ = 0;   // the first shard of unknown condition
  uint64_t block_ = 0;  // of that shard
  std::vector<uint32_t> wanted_;
  std::optional<CodingRun> run_;
  Status status_;
};

}  // namespace rhz::recovery
