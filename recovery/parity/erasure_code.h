// The arithmetic of parity: k data shards and m parity shards, any k of which give all the others
// back.
//
//   m = 1   the parity shard is the exclusive or of the data shards
//   m > 1   Reed–Solomon over GF(2⁸), polynomial 0x11d.  Parity shard i is the sum over j of
//           c(i, j) · data shard j, where c(i, j) = 1 / ((k + i) xor j): a Cauchy matrix, every
//           square part of which can be inverted (Blömer et al., "An XOR-based erasure-resilient
//           coding scheme", 1995)
//
// Persisted in every vault: it never changes.  tests/unit/parity_test.cc checks it against
// schoolbook arithmetic.  The only user of ISA-L.  Plain values and pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/base/bytes.h"
#include "runtime/base/status.h"

namespace rhz::recovery {

inline constexpr uint32_t kMaxStripeShards = 256;  // elements of the field: k + m distinct points

// A linear map from `sources` shards to some outputs.
class Coding {
 public:
  // One row of `sources` coefficients per output.
  Coding(std::vector<uint8_t> coefficients, uint32_t sources);
  uint32_t sources() const { return sources_; }
  uint32_t outputs() const { return outputs_; }
  // `bytes` bytes of each; below 2 GiB.  Nothing need be aligned; outputs overlap nothing.
  void apply(std::span<const std::byte* const> sources, std::span<std::byte* const> outputs,
             size_t bytes) const;

 private:
  uint32_t sources_;
  uint32_t outputs_;
  std::vector<uint8_t> tables_;  // ISA-L's: 32 bytes a coefficient
};

class ErasureCode {
 public:
  // kArgument unless both are at least 1 and together at most kMaxStripeShards.
  [[nodiscard]] static Result<ErasureCode> make(uint32_t data_shards, uint32_t parity_shards);

  uint32_t data_shards() const { return data_; }
  uint32_t parity_shards() const { return parity_; }
  uint32_t shards() const { return data_ + parity_; }

  // From the data shards to the parity shards.
  Coding encoding() const;
  // From exactly data_shards() different shards `from` to the shards `lost`, by their indices: data
  // shards come first.
  Coding rebuilding(std::span<const uint32_t> from, std::span<const uint32_t> lost) const;

 private:
  ErasureCode(uint32_t data_shards, uint32_t parity_shards);
  std::span<const uint8_t> row(uint32_t shard) const {
    return std::span(generator_).subspan(size_t{shard} * data_, data_);
  }

  uint32_t data_;
  uint32_t parity_;
  std::vector<uint8_t> generator_;  // shards() rows of data_ coefficients: shard = row · data
};

}  // namespace rhz::recovery
