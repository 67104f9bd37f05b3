#include "recovery/parity/erasure_code.h"

#include <isa-l.h>

#include <algorithm>
#include <string>
#include <utility>

#include "runtime/base/assert.h"

namespace rhz::recovery {
namespace {

constexpr size_t kTableBytes = 32;

// ISA-L takes what it only reads without const.
uint8_t* isal(const std::byte* bytes) {
  return reinterpret_cast<uint8_t*>(const_cast<std::byte*>(bytes));
}

}  // namespace

Coding::Coding(std::vector<uint8_t> coefficients, uint32_t sources)
    : sources_(sources),
      outputs_(static_cast<uint32_t>(coefficients.size() / sources)),
      tables_(kTableBytes * coefficients.size()) {
  if (outputs_ == 0) return;
  ec_init_tables(static_cast<int>(sources_), static_cast<int>(outputs_), coefficients.data(),
                 tables_.data());
}

void Coding::apply(std::span<const std::byte* const> sources, std::span<std::byte* const> outputs,
                   size_t bytes) const {
  RHZ_ASSERT("as many shards as the matrix has",
             sources.size() == sources_ && outputs.size() == outputs_);
  if (bytes == 0 || outputs_ == 0) return;
  uint8_t* in[kMaxStripeShards];
  uint8_t* out[kMaxStripeShards];
  for (size_t i = 0; i < sources.size(); ++i) in[i] = isal(sources[i]);
  for (size_t i = 0; i < outputs.size(); ++i) out[i] = isal(outputs[i]);
  ec_encode_data(static_cast<int>(bytes), static_cast<int>(sources_), static_cast<int>(outputs_),
                 const_cast<uint8_t*>(tables_.data()), in, out);
}

Result<ErasureCode> ErasureCode::make(uint32_t data_shards, uint32_t parity_shards) {
  if (data_shards == 0 || parity_shards == 0)
    return Status(Code::kArgument, "parity needs at least 1 data shard and 1 parity shard");
  if (data_shards > kMaxStripeShards || parity_shards > kMaxStripeShards - data_shards) {
    return Status(Code::kArgument,
                  std::to_string(data_shards) + " + " + std::to_string(parity_shards) +
                      " shards a stripe are more than " + std::to_string(kMaxStripeShards));
  }
  return ErasureCode(data_shards, parity_shards);
}

ErasureCode::ErasureCode(uint32_t data_shards, uint32_t parity_shards)
    : data_(data_shards), parity_(parity_shards), generator_(size_t{shards()} * data_) {
  gf_gen_cauchy1_matrix(generator_.data(), static_cast<int>(shards()), static_cast<int>(data_));
  // Factors of 1: ISA-L multiplies by them faster than a plain loop takes the exclusive or
  // (bench/micro/parity_bench.cc).
  if (parity_ == 1) std::fill(generator_.end() - data_, generator_.end(), uint8_t{1});
}

Coding ErasureCode::encoding() const {
  return {{generator_.begin() + static_cast<ptrdiff_t>(data_) * data_, generator_.end()}, data_};
}

Coding ErasureCode::rebuilding(std::span<const uint32_t> from,
                               std::span<const uint32_t> lost) const {
  RHZ_ASSERT("k shards rebuild a stripe", from.size() == data_);
  std::vector<uint8_t> kept;
  for (const uint32_t shard : from) kept.insert(kept.end(), row(shard).begin(), row(shard).end());
  std::vector<uint8_t> inverse(
      kept.size());  // kept shards = kept · data, so data = inverse · kept shards
  const int singular = gf_invert_matrix(kept.data(), inverse.data(), static_cast<int>(data_));
  RHZ_ASSERT("any k shards rebuild a stripe", singular == 0);
  std::vector<uint8_t> coefficients;
  coefficients.reserve(lost.size() * data_);
  for (const uint32_t shard : lost) {
    for (uint32_t column = 0; column < data_; ++column) {
      uint8_t sum = 0;
      for (uint32_t j = 0; j < data_; ++j)
        sum ^= gf_mul(row(shard)[j], inverse[size_t{j} * data_ + column]);
      coefficients.push_back(sum);
    }
  }
  return {std::move(coefficients), data_};
}

}  // namespace rhz::recovery
