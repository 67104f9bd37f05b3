#include "tests/sim/shards_oracle.h"

#include <algorithm>

#include "runtime/base/prng.h"

namespace rhz::sim {
namespace {

std::string name(const GenerationRecord& r) {
  return "stage " + std::to_string(r.stage) + " revision " + std::to_string(r.revision) +
         " placement " + std::to_string(r.placement);
}

}  // namespace

std::vector<std::byte> shards_state(uint32_t stage, uint64_t revision, uint64_t bytes) {
  Prng prng(mix64(stage) ^ mix64(revision + 77));
  std::vector<std::byte> state(bytes);
  for (size_t i = 0; i < bytes; i += 8) {
    const uint64_t word = prng.next();
    std::memcpy(state.data() + i, &word, std::min<size_t>(8, bytes - i));
  }
  return state;
}

void ShardsOracle::fail(const char* invariant, const std::string& text) {
  if (violation_.empty()) violation_ = std::string(invariant) + ": " + text;
}

void ShardsOracle::vault_up(const Holder& label, recovery::ShardStore& store) {
  vaults_[label.vault] = {label, &store};
}

void ShardsOracle::vault_down(PeerId vault) {
  vaults_.erase(vault);
  check_all(vault);
}

void ShardsOracle::corrupted(PeerId vault, uint32_t stage, uint64_t revision, uint32_t stripe,
                             uint32_t shard) {
  marks_.insert({vault, stage, revision, stripe, shard});
  since_.insert({vault, stage, revision, stripe, shard});
  check_all(vault);
}

void ShardsOracle::handled(PeerId vault, const recovery::VaultRequest& r) {
  const auto at = newest_.find(r.stage);
  if (r.verb == recovery::VaultVerb::put) {
    const auto mark = marks_.find({vault, r.stage, r.revision, r.stripe, r.shard});
    if (mark == marks_.end() || at == newest_.end() || at->second.revision != r.revision) return;
    const auto shape = recovery::shape_of(at->second);
    const MutableBytes memory =
        vaults_.at(vault).store->memory(r.stage, r.revision, r.stripe, r.shard);
    const size_t i = shape.value().at(r.stripe, r.shard);
    if (i < at->second.shards.size() && tensor_digest(memory) == at->second.shards[i])
      marks_.erase(mark);  // written anew
    return;
  }
  if (r.verb == recovery::VaultVerb::get || r.verb == recovery::VaultVerb::digests ||
      at == newest_.end())
    return;
  if (r.verb == recovery::VaultVerb::begin && r.revision > at->second.revision)
    before_.erase(r.stage);
  check_stage(at->second);
}

void ShardsOracle::appended(const LogEntry& entry) {
  const auto* record = std::get_if<GenerationRecord>(&entry.record);
  if (!record) return;
  check_growth(*record);
  check_domains(*record);
  if (record->placement == 0 && newest(record->stage))
    before_[record->stage] = *newest(record->stage);
  newest_[record->stage] = *record;
  std::erase_if(since_, [&](const Mark& mark) { return std::get<1>(mark) == record->stage; });
  ++(record->placement == 0 ? generations_ : replacements_);
  check_stage(*record);
}

void ShardsOracle::check_growth(const GenerationRecord& record) {
  const auto at = newest_.find(record.stage);
  if (at != newest_.end()) {
    const GenerationRecord& old = at->second;
    const bool grows = record.revision > old.revision && record.placement == 0;
    const bool moves = record.revision == old.revision && record.placement == old.placement + 1;
    if (!grows && !moves) fail("R1", name(record) + " was logged behind " + name(old));
  }
  const auto [root, first] = roots_.try_emplace({record.stage, record.revision}, record.root);
  if (!first && root->second != record.root) fail("R1", name(record) + " has two roots");
}

void ShardsOracle::check_domains(const GenerationRecord& record) {
  const size_t shards = size_t{record.data_shards} + record.parity_shards;
  for (size_t first = 0; first < record.held_by.size(); first += shards) {
    std::map<std::string, uint32_t> domains;
    for (size_t i = first; i < first + shards; ++i) {
      const Holder& holder = record.holders[record.held_by[i]];
      const uint32_t on_host = ++domains["host " + holder.host];
      const uint32_t in_rack = holder.rack.empty() ? 0 : ++domains["rack " + holder.rack];
      if (std::max(on_host, in_rack) > record.parity_shards)
        fail("R4", name(record) + ": a domain of " + holder.host + " holds more than " +
                       std::to_string(record.parity_shards) + " shards of a stripe");
    }
  }
}

bool ShardsOracle::struck(const GenerationRecord& r, uint32_t stripe, uint32_t shard) const {
  const size_t i = size_t{stripe} * (r.data_shards + r.parity_shards) + shard;
  const PeerId vault = r.holders[r.held_by[i]].vault;
  return !vaults_.contains(vault) || marks_.contains({vault, r.stage, r.revision, stripe, shard});
}

bool ShardsOracle::beyond(const GenerationRecord& record) const {
  const auto shape = recovery::shape_of(record);
  for (uint32_t s = 0; s < shape.value().layout.stripes; ++s) {
    uint32_t lost = 0;
    for (uint32_t j = 0; j < shape.value().code.shards(); ++j)
      lost += shape.value().layout.length(s, j) > 0 &&
              (struck(record, s, j) ||
               since_.contains({record.holders[record.held_by[shape.value().at(s, j)]].vault,
                                record.stage, record.revision, s, j}));
    if (lost > record.parity_shards) return true;
  }
  return false;
}

uint32_t ShardsOracle::lost_shards(uint32_t stage) const {
  const GenerationRecord* record = newest(stage);
  if (!record) return UINT32_MAX;
  uint32_t most = 0;
  const uint32_t shards = record->data_shards + record->parity_shards;
  for (uint32_t s = 0; s < record->held_by.size() / shards; ++s) {
    uint32_t lost = 0;
    for (uint32_t j = 0; j < shards; ++j) lost += struck(*record, s, j);
    most = std::max(most, lost);
  }
  return most;
}

const GenerationRecord* ShardsOracle::newest(uint32_t stage) const {
  const auto at = newest_.find(stage);
  return at == newest_.end() ? nullptr : &at->second;
}

void ShardsOracle::check_all(PeerId vault) {
  for (const auto* records : {&newest_, &before_})
    for (const auto& [stage, record] : *records)
      if (std::any_of(record.holders.begin(), record.holders.end(),
                      [&](const Holder& holder) { return holder.vault == vault; }))
        check(record);
}

// Its newest generation, and the one before that a run may go back to.
void ShardsOracle::check_stage(const GenerationRecord& newest) {
  check(newest);
  if (const auto before = before_.find(newest.stage); before != before_.end())
    check(before->second);
}

// R3.
void ShardsOracle::check(const GenerationRecord& record) {
  const auto shape = recovery::shape_of(record);
  if (!shape) return fail("R3", name(record) + " makes no sense");
  const auto state = shards_state(record.stage, record.revision, record.state_bytes);
  for (uint32_t s = 0; s < shape.value().layout.stripes; ++s)
    check_stripe(record, shape.value(), s, state);
}

void ShardsOracle::check_stripe(const GenerationRecord& record,
                                const recovery::GenerationShape& shape, uint32_t stripe,
                                ConstBytes state) {
  const uint32_t k = record.data_shards, shards = shape.code.shards();
  std::vector<uint32_t> from, lost;
  std::vector<std::vector<std::byte>> copies(shards);
  uint32_t faults = 0;
  // Parity first, so that it has to be right too.
  for (uint32_t n = 0; n < shards; ++n) {
    const uint32_t j = (n + k) % shards;
    const uint64_t length = shape.layout.length(stripe, j);
    const size_t i = shape.at(stripe, j);
    copies[j].resize(record.shard_bytes);
    if (length > 0) {
      if (struck(record, stripe, j)) {
        ++faults;
        if (j < k) lost.push_back(j);
        continue;
      }
      const PeerId vault = record.holders[record.held_by[i]].vault;
      const MutableBytes memory =
          vaults_.at(vault).store->memory(record.stage, record.revision, stripe, j);
      if (memory.size() != length || tensor_digest(memory) != record.shards[i])
        return fail("R3", name(record) + ": shard " + std::to_string(j) + " of stripe " +
                              std::to_string(stripe) + " is not there, and nothing struck it");
      std::copy(memory.begin(), memory.end(), copies[j].begin());
    }
    if (from.size() < k)
      from.push_back(j);
    else if (j < k)
      lost.push_back(j);
  }
  if (faults > record.parity_shards) return;
  std::vector<const std::byte*> sources;
  std::vector<std::byte*> outputs;
  for (const uint32_t j : from) sources.push_back(copies[j].data());
  for (const uint32_t j : lost) outputs.push_back(copies[j].data());
  if (!lost.empty()) shape.code.rebuilding(from, lost).apply(sources, outputs, record.shard_bytes);
  ++decoded_;
  for (uint32_t j = 0; j < k; ++j) {
    const ConstBytes right =
        state.subspan(shape.layout.offset(stripe, j), shape.layout.length(stripe, j));
    if (!std::equal(right.begin(), right.end(), copies[j].begin()))
      return fail("R3",
                  name(record) + ": other bytes came out of stripe " + std::to_string(stripe));
  }
}

void ShardsOracle::restored(const GenerationRecord& record, const std::vector<std::byte>& bytes) {
  if (bytes != shards_state(record.stage, record.revision, record.state_bytes))
    fail("R3", name(record) + " was restored with other bytes");
}

void ShardsOracle::lost(const GenerationRecord& record, const Status& status) {
  if (status.code() != Code::kStateLost) return fail("R3", "restore: " + status.text());
  const GenerationRecord* now = newest(record.stage);
  if (now && *now == record && !beyond(record))
    fail("R3", name(record) + " was given up: " + status.text());
}

}  // namespace rhz::sim
