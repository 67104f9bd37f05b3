#include "recovery/shards/stripe_reader.h"

#include <algorithm>
#include <cstring>

namespace rhz::recovery {

StripeReader::StripeReader(const GenerationRecord& record, const GenerationShape& shape,
                           uint32_t stripe, std::vector<Wanted> wanted,
                           const std::vector<uint32_t>& lost)
    : record_(record), shape_(shape), stripe_(stripe), shards_(shape.code.shards()) {
  for (uint32_t i = 0; i < shards_.size(); ++i) {
    Shard& shard = shards_[i];
    shard.length = shape.layout.length(stripe, i);
    shard.vault = record.holders[record.held_by[shape.at(stripe, i)]].vault;
    if (shard.length == 0) shard.condition = Condition::here;  // padding is never lost
  }
  for (const Wanted& want : wanted) {
    shards_[want.shard].wanted = true;
    shards_[want.shard].bytes = want.output;
  }
  for (const uint32_t shard : lost) lose(shards_[shard]);
  plan();
}

// Which shards to fetch: the wanted ones where all of them live, else any k, those first that are
// here or on their way.
void StripeReader::plan() {
  needed_.clear();
  std::vector<uint32_t> usable;
  bool all = true;
  for (uint32_t i = 0; i < shards_.size(); ++i) {
    if (shards_[i].condition != Condition::lost) usable.push_back(i);
    if (!shards_[i].wanted) continue;
    needed_.push_back(i);
    all &= shards_[i].condition != Condition::lost;
  }
  if (all) return;
  std::stable_sort(usable.begin(), usable.end(), [&](uint32_t a, uint32_t b) {
    const auto worth = [&](const Shard& s) {
      return 8 * (s.condition == Condition::here) + 4 * (s.condition != Condition::idle) +
             2 * s.wanted;
    };
    return worth(shards_[a]) > worth(shards_[b]);
  });
  // Wanted shards that live are fetched even where k others would do: they are never computed.
  for (const uint32_t shard : usable)
    if (shards_[shard].wanted) needed_.push_back(shard);
  std::erase_if(needed_, [&](uint32_t i) { return shards_[i].condition == Condition::lost; });
  std::sort(needed_.begin(), needed_.end());
  needed_.erase(std::unique(needed_.begin(), needed_.end()), needed_.end());
  for (const uint32_t shard : usable) {
    if (needed_.size() >= shape_.code.data_shards()) break;
    if (!shards_[shard].wanted) needed_.push_back(shard);
  }
}

std::optional<uint32_t> StripeReader::hopeless() const {
  uint32_t lost = 0, wanted_lost = 0;
  for (const Shard& shard : shards_) {
    lost += shard.condition == Condition::lost;
    wanted_lost += shard.wanted && shard.condition == Condition::lost;
  }
  if (wanted_lost == 0 || lost <= shape_.code.parity_shards()) return {};
  return lost;
}

VaultRequest StripeReader::request(VaultVerb verb, uint32_t shard) const {
  VaultRequest r;
  r.verb = verb;
  r.stage = record_.stage;
  r.revision = record_.revision;
  r.stripe = stripe_;
  r.shard = shard;
  r.shard_bytes = shards_[shard].length;
  return r;
}

std::optional<VaultSend> StripeReader::next(const MayAsk& may) {
  if (hopeless()) return {};
  for (const uint32_t i : needed_) {
    Shard& shard = shards_[i];
    if (shard.condition == Condition::idle) {
      if (!may(shard.vault, sizeof(Digest))) continue;
      shard.condition = Condition::asked;
      return VaultSend{shard.vault, request(VaultVerb::digests, i)};
    }
    if (shard.condition != Condition::fetching || shard.asked == shard.length) continue;
    const uint64_t length = std::min<uint64_t>(kMaxRangeBytes, shard.length - shard.asked);
    if (!may(shard.vault, length)) continue;
    VaultRequest get = request(VaultVerb::get, i);
    get.offset = shard.asked;
    get.length = static_cast<uint32_t>(length);
    shard.asked += length;
    shard.open.insert(get.offset);
    return VaultSend{shard.vault, get};
  }
  return {};
}

bool StripeReader::handle(PeerId vault, const VaultReply& reply) {
  const VaultRequest& r = reply.request;
  if (r.stripe != stripe_ || r.stage != record_.stage || r.revision != record_.revision ||
      r.shard >= shards_.size())
    return false;
  Shard& shard = shards_[r.shard];
  const bool digests = r.verb == VaultVerb::digests && shard.condition == Condition::asked;
  const bool range = r.verb == VaultVerb::get && shard.condition == Condition::fetching;
  if (shard.vault != vault || (!digests && !range)) return false;
  if (!reply.status)
    lose(shard);
  else if (digests)
    take_digests(shard, reply.bytes, r.shard);
  else
    take_range(shard, reply);
  if (shard.condition == Condition::lost) plan();
  return true;
}

void StripeReader::take_digests(Shard& shard, ConstBytes bytes, uint32_t index) {
  shard.digests.resize(digest_blocks(shard.length));
  const bool fits = bytes.size() == shard.digests.size() * sizeof(Digest);
  if (fits) std::memcpy(shard.digests.data(), bytes.data(), bytes.size());
  if (!fits || digest_of(shard.digests) != record_.shards[shape_.at(stripe_, index)])
    return lose(shard);
  if (!shard.wanted) {
    shard.scratch.resize(shard.length);
    shard.bytes = shard.scratch;
  }
  shard.condition = Condition::fetching;
}

void StripeReader::take_range(Shard& shard, const VaultReply& reply) {
  const VaultRequest& r = reply.request;
  if (!shard.open.erase(r.offset)) return;  // asked by an older reader, and answered twice
  if (reply.bytes.size() != r.length || r.length > shard.length - r.offset) return lose(shard);
  const uint64_t first = r.offset / kDigestBlockBytes;
  for (uint64_t b = 0; b < digest_blocks(r.length); ++b)
    if (digest128(digest_block(reply.bytes, b)) != shard.digests[first + b]) return lose(shard);
  std::copy(reply.bytes.begin(), reply.bytes.end(),
            shard.bytes.begin() + static_cast<std::ptrdiff_t>(r.offset));
  shard.got += r.length;
  if (shard.got == shard.length) shard.condition = Condition::here;
}

void StripeReader::lose(Shard& shard) {
  if (shard.length > 0) shard.condition = Condition::lost;
}

void StripeReader::vault_lost(PeerId vault) {
  for (Shard& shard : shards_)
    if (shard.vault == vault && shard.condition != Condition::here) lose(shard);
  plan();
}

bool StripeReader::fetched() const {
  return !hopeless() && std::all_of(needed_.begin(), needed_.end(), [&](uint32_t i) {
    return shards_[i].condition == Condition::here;
  });
}

void StripeReader::compute(uint64_t budget_bytes) {
  if (!fetched() || computed_) return;
  if (!run_) {
    std::vector<uint32_t> from;
    std::vector<ConstBytes> sources;
    std::vector<MutableBytes> outputs;
    outputs_.clear();
    for (uint32_t i = 0; i < shards_.size(); ++i) {
      const Shard& shard = shards_[i];
      if (shard.condition == Condition::here && from.size() < shape_.code.data_shards()) {
        from.push_back(i);
        sources.push_back(ConstBytes(shard.bytes).first(shard.length));
      } else if (shard.wanted && shard.condition == Condition::lost) {
        outputs_.push_back(i);
        outputs.push_back(shard.bytes);
      }
    }
    computed_ = outputs_.empty();
    if (computed_) return;
    run_.emplace(shape_.code.rebuilding(from, outputs_), shape_.layout.shard_bytes,
                 std::move(sources), std::move(outputs), Digested::outputs);
  }
  if (!run_->step(budget_bytes)) return;
  computed_ = true;
  const std::vector<BlockDigests> found = run_->take_digests();
  for (size_t i = 0; i < outputs_.size(); ++i)
    if (digest_of(found[i]) != record_.shards[shape_.at(stripe_, outputs_[i])])
      status_ = Status(Code::kCorrupt, "shard " + std::to_string(outputs_[i]) + " of stripe " +
                                           std::to_string(stripe_) +
                                           " came out with another digest than the logged one");
  run_.reset();
}

std::vector<uint32_t> StripeReader::lost() const {
  std::vector<uint32_t> lost;
  for (uint32_t i = 0; i < shards_.size(); ++i)
    if (shards_[i].condition == Condition::lost) lost.push_back(i);
  return lost;
}

}  // namespace rhz::recovery
