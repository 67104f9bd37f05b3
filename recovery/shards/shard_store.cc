#include "recovery/shards/shard_store.h"

#include <algorithm>
#include <new>

#include "runtime/agreement/generation.h"
#include "runtime/base/canary.h"

namespace rhz::recovery {
namespace {

Status state(const VaultRequest& r, const std::string& why) {
  return {Code::kState, "stage " + std::to_string(r.stage) + ", revision " +
                            std::to_string(r.revision) + ": " + why};
}

// The newest sealed one below; 0: none.
template <class Generations>
uint64_t sealed_before(const Generations& generations, uint64_t revision) {
  uint64_t found = 0;
  for (const auto& [number, generation] : generations)
    if (generation.sealed && number < revision) found = number;
  return found;
}

}  // namespace

VaultReply ShardStore::handle(const VaultRequest& request) {
  VaultReply reply{request, Status::ok(), {}};
  reply.request.bytes = {};
  if (request.verb == VaultVerb::get || request.verb == VaultVerb::digests) {
    reply.status = read(request, reply.bytes);
    return reply;
  }
  if (request.stage >= kMaxStages || request.revision == 0) {
    reply.status = {Code::kArgument, "no such stage, or revision 0"};
    return reply;
  }
  Stage& stage = stages_[request.stage];
  // The log's word is the log's word, whoever brings it and however late.
  if (request.verb == VaultVerb::seal) {
    const bool told = request.tag < request.revision;
    seal(stage, request.revision,
         told ? request.tag : sealed_before(stage.generations, request.revision));
    return reply;
  }
  if (request.epoch < stage.epoch) {
    reply.status =
        state(request, "stale: of view " + std::to_string(request.epoch.value) + ", and view " +
                           std::to_string(stage.epoch.value) + " has been seen");
    return reply;
  }
  stage.epoch = request.epoch;
  if (request.verb == VaultVerb::begin) reply.status = begin(stage, request);
  if (request.verb == VaultVerb::put) reply.status = put(stage, request, reply.bytes);
  if (request.verb == VaultVerb::discard) reply.status = discard(stage, request.revision);
  return reply;
}

// Two generations at most: what is sealed, and this one; or the one before, where lost shards of
// what is sealed come.
Status ShardStore::begin(Stage& stage, const VaultRequest& request) {
  if (request.tag > request.revision) return state(request, "a newer one is sealed");
  const bool again = request.tag == request.revision;
  if (request.tag > 0)
    seal(stage, request.tag, again ? sealed_before(stage.generations, request.tag) : 0);
  if (canary(Rule::kOldFirst)) seal(stage, request.revision, 0);
  for (auto at = stage.generations.begin(); at != stage.generations.end();) {
    auto& [revision, generation] = *at;
    if (generation.sealed && revision > request.revision)
      return state(request, "revision " + std::to_string(revision) + " is sealed");
    // Who wrote it in an older view may have cut it otherwise.
    const bool same = revision == request.revision && generation.begun == request.epoch;
    if (generation.sealed || same) {
      ++at;
      continue;
    }
    drop(generation);
    at = stage.generations.erase(at);
  }
  Generation& generation = stage.generations[request.revision];
  generation.begun = request.epoch;
  generation.sealed |= again;
  return Status::ok();
}

Status ShardStore::put(Stage& stage, const VaultRequest& request, ConstBytes& reply) {
  const auto at = stage.generations.find(request.revision);
  if (at == stage.generations.end() || at->second.begun != request.epoch)
    return state(request, "not begun");
  auto opened = open_shard(at->second, request);
  if (!opened) return opened.status();
  Shard& shard = *opened.value();
  std::copy(request.bytes.begin(), request.bytes.end(),
            shard.bytes().begin() + static_cast<std::ptrdiff_t>(request.offset));
  const uint64_t first = request.offset / kDigestBlockBytes;
  for (uint64_t b = first; b < first + digest_blocks(request.length); ++b) {
    shard.digests[b] = digest128(digest_block(shard.bytes(), b));
    if (!shard.here[b]) --shard.blocks_due;
    shard.here[b] = true;
  }
  if (shard.blocks_due > 0) return Status::ok();
  answer_ = digest_of(shard.digests);
  reply = bytes_of(answer_.data(), answer_.size());
  return Status::ok();
}

// The shard that the range belongs to.  A complete one stays complete: whoever sends it again has
// the same bytes, and knows some of those here to be bad.
Result<ShardStore::Shard*> ShardStore::open_shard(Generation& generation,
                                                  const VaultRequest& request) {
  const uint64_t end = request.offset + request.length;
  if (request.length == 0 || request.bytes.size() != request.length || end < request.offset ||
      end > request.shard_bytes || request.offset % kDigestBlockBytes != 0)
    return Status(Code::kArgument, "a range that is not of this shard");
  const Place place{request.stripe, request.shard};
  auto at = generation.shards.find(place);
  if (at != generation.shards.end() && at->second.size != request.shard_bytes) {
    bytes_ -= at->second.size;
    generation.shards.erase(at);
    at = generation.shards.end();
  }
  if (at == generation.shards.end()) {
    if (request.shard_bytes > limit_bytes_ - bytes_)
      return Status(Code::kMemory, "the vault holds " + std::to_string(bytes_) + " of at most " +
                                       std::to_string(limit_bytes_) + " bytes; a shard of " +
                                       std::to_string(request.shard_bytes) +
                                       " does not fit: give it more (--shard-memory)");
    if (generation.shards.size() >= kMaxGenerationShards)
      return Status(Code::kMemory, "too many shards of one generation");
    std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[request.shard_bytes]);
    if (!memory)
      return Status(Code::kMemory, "the vault's host has no memory for a shard of " +
                                       std::to_string(request.shard_bytes) + " bytes; it holds " +
                                       std::to_string(bytes_));
    bytes_ += request.shard_bytes;
    at = generation.shards.emplace(place, Shard{}).first;
    Shard& shard = at->second;
    shard.memory = std::move(memory);
    shard.size = request.shard_bytes;
    shard.blocks_due = digest_blocks(request.shard_bytes);
    shard.digests.resize(shard.blocks_due);
    shard.here.resize(shard.blocks_due, false);
  }
  return &at->second;
}

// What is older goes, but for the generation that was sealed `before`.
void ShardStore::seal(Stage& stage, uint64_t revision, uint64_t before) {
  std::erase_if(stage.generations, [&](const auto& entry) {
    const bool goes = entry.first < revision && entry.first != before;
    if (goes) drop(entry.second);
    return goes;
  });
  for (const uint64_t logged : {before, revision})
    if (auto at = stage.generations.find(logged); at != stage.generations.end())
      at->second.sealed = true;
}

Status ShardStore::discard(Stage& stage, uint64_t revision) {
  const auto at = stage.generations.find(revision);
  if (at == stage.generations.end()) return Status::ok();
  if (at->second.sealed) return {Code::kState, "a sealed generation is not discarded"};
  drop(at->second);
  stage.generations.erase(at);
  return Status::ok();
}

void ShardStore::drop(const Generation& generation) {
  for (const auto& [place, shard] : generation.shards) bytes_ -= shard.size;
}

ShardStore::Shard* ShardStore::find(const VaultRequest& request) {
  const auto stage = stages_.find(request.stage);
  if (stage == stages_.end()) return nullptr;
  const auto generation = stage->second.generations.find(request.revision);
  if (generation == stage->second.generations.end()) return nullptr;
  const auto shard = generation->second.shards.find({request.stripe, request.shard});
  if (shard == generation->second.shards.end() || shard->second.blocks_due > 0) return nullptr;
  return &shard->second;
}

Status ShardStore::read(const VaultRequest& request, ConstBytes& reply) {
  const Shard* shard = find(request);
  if (!shard || shard->size != request.shard_bytes)
    return {Code::kCorrupt, "shard " + std::to_string(request.shard) + " of stripe " +
                                std::to_string(request.stripe) + " is not held"};
  if (request.verb == VaultVerb::digests) {
    reply = bytes_of(shard->digests.data(), shard->digests.size() * sizeof(Digest));
    return Status::ok();
  }
  if (request.offset > shard->size || request.length > shard->size - request.offset)
    return {Code::kArgument, "a range that is not of this shard"};
  reply = ConstBytes(shard->bytes()).subspan(request.offset, request.length);
  return Status::ok();
}

bool ShardStore::scrub(uint64_t budget_bytes) {
  uint64_t spent = 0;
  for (auto& [stage_number, stage] : stages_) {
    for (auto& [revision, generation] : stage.generations) {
      for (auto at = generation.shards.begin(); at != generation.shards.end();) {
        const std::tuple here{stage_number, revision, at->first};
        Shard& shard = at->second;
        if (here < scrub_at_ || shard.blocks_due > 0) {
          ++at;
          continue;
        }
        if (here != scrub_at_) scrub_block_ = 0;
        scrub_at_ = here;
        bool good = true;
        for (; good && scrub_block_ < shard.digests.size(); ++scrub_block_) {
          if (spent >= budget_bytes) return false;
          const ConstBytes block = digest_block(shard.bytes(), scrub_block_);
          good = digest128(block) == shard.digests[scrub_block_];
          spent += block.size();
        }
        if (good) {
          ++at;
          continue;
        }
        ++dropped_corrupt_;
        bytes_ -= shard.size;
        at = generation.shards.erase(at);
      }
    }
  }
  scrub_at_ = {};
  scrub_block_ = 0;
  return true;
}

std::vector<ShardStore::Summary> ShardStore::generations(uint32_t stage) const {
  std::vector<Summary> all;
  if (const auto at = stages_.find(stage); at != stages_.end())
    for (const auto& [revision, generation] : at->second.generations)
      all.push_back({revision, generation.sealed, generation.shards.size()});
  return all;
}

MutableBytes ShardStore::memory(uint32_t stage, uint64_t revision, uint32_t stripe,
                                uint32_t shard) {
  VaultRequest request;
  request.stage = stage;
  request.revision = revision;
  request.stripe = stripe;
  request.shard = shard;
  Shard* found = find(request);
  return found ? found->bytes() : MutableBytes();
}

}  // namespace rhz::recovery
