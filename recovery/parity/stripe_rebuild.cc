#include "recovery/parity/stripe_rebuild.h"

#include <algorithm>
#include <utility>

#include "runtime/base/assert.h"
#include "runtime/digest/digest.h"

namespace rhz::recovery {

StripeRebuild::StripeRebuild(const ErasureCode& code, const StripeLayout& layout, uint32_t stripe,
                             std::vector<HeldShard> shards, LossContext context)
    : code_(code),
      layout_(layout),
      stripe_(stripe),
      shards_(std::move(shards)),
      context_(std::move(context)),
      conditions_(code.shards(), Condition::unknown) {
  RHZ_ASSERT("a stripe has k + m shards", shards_.size() == code_.shards());
}

bool StripeRebuild::verify(uint64_t budget_bytes) {
  for (uint64_t spent = 0; next_ < conditions_.size() && spent < budget_bytes;) {
    verify_block();
    spent += kDigestBlockBytes;
  }
  return next_ == conditions_.size();
}

// One block of shard next_, or the verdict on it.
void StripeRebuild::verify_block() {
  const HeldShard& shard = shards_[next_];
  const uint64_t length = layout_.length(stripe_, next_);
  const auto judge = [&](Condition condition) {
    conditions_[next_++] = condition;
    block_ = 0;
  };
  // A shard of padding only is never lost.
  if (length == 0) return judge(Condition::intact);
  if (!shard.bytes) return judge(Condition::missing);
  if (shard.bytes->size() != length || shard.digests.size() != digest_blocks(length))
    return judge(Condition::corrupt);
  if (digest128(digest_block(*shard.bytes, block_)) != shard.digests[block_])
    return judge(Condition::corrupt);
  if (++block_ == shard.digests.size()) judge(Condition::intact);
}

Result<std::vector<uint32_t>> StripeRebuild::lost() const {
  RHZ_ASSERT("shards are verified before they are used", next_ == conditions_.size());
  std::vector<uint32_t> lost;
  size_t corrupt = 0;
  for (uint32_t i = 0; i < conditions_.size(); ++i) {
    if (conditions_[i] != Condition::intact) lost.push_back(i);
    if (conditions_[i] == Condition::corrupt) ++corrupt;
  }
  if (lost.size() <= code_.parity_shards()) return lost;
  return Status(Code::kStateLost,
                context_.stage + ": " + std::to_string(lost.size()) + " of " +
                    std::to_string(code_.shards()) + " shards of stripe " +
                    std::to_string(stripe_) + " are lost (" +
                    std::to_string(lost.size() - corrupt) + " missing, " + std::to_string(corrupt) +
                    " corrupt), and parity makes up for " + std::to_string(code_.parity_shards()) +
                    "; next source: " + context_.next_source);
}

std::vector<uint32_t> StripeRebuild::intact() const {
  std::vector<uint32_t> intact;
  for (uint32_t i = 0; i < conditions_.size() && intact.size() < code_.data_shards(); ++i)
    if (conditions_[i] == Condition::intact) intact.push_back(i);
  return intact;
}

Status StripeRebuild::begin(std::span<const uint32_t> wanted, std::vector<MutableBytes> outputs) {
  const auto lost_shards = lost();
  if (!lost_shards) return lost_shards.status();
  if (wanted.size() != outputs.size())
    return {Code::kArgument, "each shard to be rebuilt needs a buffer"};
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto& all = lost_shards.value();
    if (!std::binary_search(all.begin(), all.end(), wanted[i]))
      return {Code::kArgument, "shard " + std::to_string(wanted[i]) + " is not lost"};
    if (outputs[i].size() != layout_.length(stripe_, wanted[i]))
      return {Code::kArgument, "the buffer for shard " + std::to_string(wanted[i]) +
                                   " has another size than the shard"};
  }
  const std::vector<uint32_t> from = intact();
  std::vector<ConstBytes> sources;
  for (const uint32_t shard : from)
    sources.push_back(
        shards_[shard].bytes.value_or(ConstBytes()).first(layout_.length(stripe_, shard)));
  wanted_.assign(wanted.begin(), wanted.end());
  status_ = Status::ok();
  run_.emplace(code_.rebuilding(from, wanted), layout_.shard_bytes, std::move(sources),
               std::move(outputs), Digested::outputs);
  return Status::ok();
}

bool StripeRebuild::rebuild(uint64_t budget_bytes) {
  RHZ_ASSERT("begin() was called", run_.has_value());
  if (!run_->step(budget_bytes)) return false;
  const std::vector<BlockDigests> found = run_->take_digests();
  for (size_t i = 0; i < found.size() && status_; ++i) status_ = compare(wanted_[i], found[i]);
  run_.reset();
  return true;
}

Status StripeRebuild::compare(uint32_t shard, const BlockDigests& found) const {
  if (found == shards_[shard].digests) return Status::ok();
  return {Code::kCorrupt, context_.stage + ": shard " + std::to_string(shard) + " of stripe " +
                              std::to_string(stripe_) +
                              " came out with other digests than those on record; next source: " +
                              context_.next_source};
}

}  // namespace rhz::recovery
