#include "recovery/parity/coding_run.h"

#include <algorithm>
#include <utility>

#include "runtime/base/assert.h"
#include "runtime/digest/digest.h"

namespace rhz::recovery {
namespace {

// A piece over all shards fits the second-level cache, and a step is short.
constexpr uint64_t kPieceBytes = 256 << 10;
constexpr uint64_t kLeastPieceBytes = 4 << 10;  // of one shard

uint64_t piece_of(uint64_t shards) {
  return std::max(kLeastPieceBytes, kPieceBytes / shards / kLeastPieceBytes * kLeastPieceBytes);
}

}  // namespace

CodingRun::CodingRun(Coding coding, uint64_t shard_bytes, std::vector<ConstBytes> sources,
                     std::vector<MutableBytes> outputs, Digested digested)
    : coding_(std::move(coding)),
      shard_bytes_(shard_bytes),
      sources_(std::move(sources)),
      outputs_(std::move(outputs)),
      piece_bytes_(piece_of(sources_.size() + outputs_.size())),
      from_(sources_.size()),
      to_(outputs_.size()),
      source_tails_(sources_.size()),
      output_tails_(outputs_.size()) {
  static_assert(kBlock == kDigestBlockBytes);
  for (const ConstBytes& source : sources_)
    RHZ_ASSERT("no long shard", source.size() <= shard_bytes_);
  for (const MutableBytes& out : outputs_) RHZ_ASSERT("no long shard", out.size() <= shard_bytes_);
  if (digested == Digested::sources_and_outputs) digested_ = sources_;
  digested_.insert(digested_.end(), outputs_.begin(), outputs_.end());
  digests_.resize(digested_.size());
}

bool CodingRun::step(uint64_t budget_bytes) {
  for (uint64_t spent = 0; !done();) {
    spent += coded_ < block_end() ? code_piece() : digest_piece();
    if (spent >= budget_bytes) break;
  }
  return done();
}

uint64_t CodingRun::block_end() const { return std::min(shard_bytes_, (block_ + 1) * kBlock); }

uint64_t CodingRun::code_piece() {
  const uint64_t bytes = std::min(piece_bytes_, block_end() - coded_);
  for (size_t i = 0; i < sources_.size(); ++i) from_[i] = source_at(i, bytes);
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const bool fits = coded_ + bytes <= outputs_[i].size();
    if (!fits) output_tails_[i].resize(piece_bytes_);
    to_[i] = fits ? outputs_[i].data() + coded_ : output_tails_[i].data();
  }
  coding_.apply(from_, to_, bytes);
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const uint64_t size = outputs_[i].size();
    if (coded_ + bytes > size && coded_ < size)
      std::memcpy(outputs_[i].data() + coded_, output_tails_[i].data(), size - coded_);
  }
  coded_ += bytes;
  return bytes * (sources_.size() + outputs_.size());
}

const std::byte* CodingRun::source_at(size_t index, uint64_t bytes) {
  const ConstBytes source = sources_[index];
  if (coded_ + bytes <= source.size()) return source.data() + coded_;
  std::vector<std::byte>& tail = source_tails_[index];
  tail.assign(piece_bytes_, std::byte{0});
  if (coded_ < source.size())
    std::memcpy(tail.data(), source.data() + coded_, source.size() - coded_);
  return tail.data();
}

uint64_t CodingRun::digest_piece() {
  uint64_t bytes = 0;
  if (next_digest_ < digested_.size()) {
    const ConstBytes shard = digested_[next_digest_];
    if (block_ < digest_blocks(shard.size())) {
      const ConstBytes block = digest_block(shard, block_);
      digests_[next_digest_].push_back(digest128(block));
      bytes = block.size();
    }
    ++next_digest_;
  }
  if (next_digest_ >= digested_.size()) {
    next_digest_ = 0;
    ++block_;
  }
  return bytes;
}

}  // namespace rhz::recovery
