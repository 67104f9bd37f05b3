// Generations of shards with parity: what is proposed, once, and who is told (docs/recovery.md).
#include "runtime/base/assert.h"
#include "runtime/base/canary.h"
#include "runtime/membership/coordinator.h"

namespace rhz {
namespace {
constexpr size_t kKeepEntries = 4096;  // records that a peer may be behind when it comes back
}

void Coordinator::propose(const Peer& peer, const ProposeMessage& message) {
  // Whoever protected the stage in an older view may be somebody else now, who has seen every
  // record before this view, and could not know of one behind it.
  if (!is_member(peer.info.id) || message.epoch != view_.epoch) return;
  const GenerationRecord& proposed = message.generation;
  const auto at = generations_.find(proposed.stage);
  const GenerationRecord* logged = at == generations_.end() ? nullptr : &at->second;
  Result<bool> verdict = judge_generation(logged, proposed);
  size_t shards = proposed.shards.size();
  for (const auto& [stage, generation] : generations_) shards += generation.shards.size();
  for (const auto& [stage, generation] : generations_before_)
    if (stage != proposed.stage) shards += generation.shards.size();
  if (verdict && shards > kMaxLoggedShards)
    verdict = Status(Code::kArgument, "the generations of all stages together have more than " +
                                          std::to_string(kMaxLoggedShards) +
                                          " shards; make shards longer");
  if (!verdict) {
    send(peer.session, ProposalRefusedMessage{term_, proposed.stage, proposed.revision,
                                              proposed.placement, verdict.status()});
    return;
  }
  if (!verdict.value()) return;  // said again; the record is on its way
  append(proposed);
  // Whoever waits to be admitted follows no log yet.
  for (const auto& [id, other] : peers_)
    if (other.session != 0 && !is_member(id))
      send(other.session, GenerationsMessage{term_, {proposed}});
}

void Coordinator::tell_generations(const Peer& peer) {
  if (!generations_.empty()) send(peer.session, GenerationsMessage{term_, known_generations()});
}

void Coordinator::apply(const GenerationRecord& record) {
  GenerationRecord& newest = generations_[record.stage];
  RHZ_ASSERT("R1", record.revision > newest.revision || newest.shards.empty() ||
                       (record.revision == newest.revision && record.root == newest.root &&
                        record.placement > newest.placement));
  if (newest.revision != 0 && record.revision > newest.revision)
    generations_before_[record.stage] = std::move(newest);
  newest = record;
}

std::vector<GenerationRecord> Coordinator::known_generations() const {
  std::vector<GenerationRecord> all;
  for (const auto& [stage, generation] : generations_) {
    const auto before = generations_before_.find(stage);
    if (before != generations_before_.end()) all.push_back(before->second);
    all.push_back(generation);
  }
  return all;
}

// B1: of the entries for peers that come back.
void Coordinator::forget_old_entries() {
  while (entries_.size() > 1 &&
         (entries_.size() > kKeepEntries || kept_shards_ > kMaxLoggedShards)) {
    if (const auto* generation = std::get_if<GenerationRecord>(&entries_.front().record))
      kept_shards_ -= generation->shards.size();
    entries_.pop_front();
  }
}

}  // namespace rhz
