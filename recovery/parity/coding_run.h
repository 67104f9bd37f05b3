// Codes one stripe and digests its shards, a few hundred KiB at a time: whoever calls step() can
// yield to collectives between two steps.  Serves both ways: data to parity, and k survivors to
// what was lost.
//
// A shard shorter than shard_bytes goes on in zeros (stripe_layout.h).  Memory is the caller's;
// sources do not change meanwhile.  One thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "recovery/parity/erasure_code.h"
#include "runtime/base/bytes.h"
#include "runtime/base/types.h"

namespace rhz::recovery {

// Of a shard: one per 256 KiB of its stored bytes (runtime/digest).
using BlockDigests = std::vector<Digest>;

enum class Digested { sources_and_outputs, outputs };

class CodingRun {
 public:
  CodingRun(Coding coding, uint64_t shard_bytes, std::vector<ConstBytes> sources,
            std::vector<MutableBytes> outputs, Digested digested);

  // Reads and writes about `budget_bytes` more, at least one piece (256 KiB over all shards, or a
  // digest of one block); true when all is done.
  bool step(uint64_t budget_bytes);
  bool done() const { return block_ * kBlock >= shard_bytes_; }

  // When done: of the sources in their order (if they are digested), then of the outputs.
  std::vector<BlockDigests> take_digests() { return std::move(digests_); }

 private:
  static constexpr uint64_t kBlock = uint64_t{256} << 10;  // kDigestBlockBytes

  uint64_t block_end() const;
  uint64_t code_piece();
  uint64_t digest_piece();
  const std::byte* source_at(size_t index, uint64_t bytes);

  Coding coding_;
  uint64_t shard_bytes_;
  std::vector<ConstBytes> sources_;
  std::vector<MutableBytes> outputs_;
  std::vector<ConstBytes> digested_;
  std::vector<BlockDigests> digests_;
  uint64_t piece_bytes_;                // of each shard
  uint64_t coded_ = 0;                  // of each shard
  uint64_t block_ = 0;                  // its digests are due when it is coded
  size_t next_digest_ = 0;              // in digested_
  std::vector<const std::byte*> from_;  // of one piece
  std::vector<std::byte*> to_;
  // What crosses the end of a short shard.
  std::vector<std::vector<std::byte>> source_tails_, output_tails_;
};

}  // namespace rhz::recovery
