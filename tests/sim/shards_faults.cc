// What strikes, and the healing.
#include <algorithm>

#include "tests/sim/shards_cluster.h"

namespace rhz::sim {
namespace {

// Any of a map's keys or values, by chance.
template <class Map>
auto any(Map& map, Prng& dice) {
  auto at = map.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(dice.below(map.size())));
  return at;
}

}  // namespace

void ShardsCluster::strike(double per_second, Blow blow) {
  if (per_second <= 0) return;
  const double seconds = (0.1 + 1.8 * world_.faults.unit()) / per_second;
  world_.after(Duration(static_cast<int64_t>(seconds * 1e9)), [this, per_second, blow] {
    if (healed_) return;
    (this->*blow)();
    strike(per_second, blow);
  });
}

void ShardsCluster::crash_some_vault() {
  if (!vault_at_.empty()) kill_vault(any(vault_at_, world_.faults)->first);
}

// How many members there are on other hosts: one at least is left, or the run would be over.
uint32_t ShardsCluster::members_beside(const std::vector<uint32_t>& hosts) const {
  uint32_t members = 0;
  for (const auto& [id, process] : trainers_)
    members += process->core->member().is_member() && !process->core->member().sealed_now() &&
               std::find(hosts.begin(), hosts.end(), process->host) == hosts.end();
  return members;
}

void ShardsCluster::crash_some_trainer() {
  if (trainer_at_.empty()) return;
  const uint32_t host = any(trainer_at_, world_.faults)->first;
  if (members_beside({host}) >= 2) kill_trainer(host);
}

void ShardsCluster::crash_some_host() {
  const auto host = static_cast<uint32_t>(world_.faults.below(config_.hosts));
  if (members_beside({host}) < 2) return;
  kill_vault(host);
  kill_trainer(host);
}

void ShardsCluster::crash_some_rack() {
  if (config_.racks == 0) return;
  const auto rack = static_cast<uint32_t>(world_.faults.below(config_.racks));
  std::vector<uint32_t> hosts;
  for (uint32_t host = rack; host < config_.hosts; host += config_.racks) hosts.push_back(host);
  if (members_beside(hosts) < 2) return;
  for (const uint32_t host : hosts) {
    kill_vault(host);
    kill_trainer(host);
  }
}

void ShardsCluster::corrupt_some_shard() {
  const auto stage = static_cast<uint32_t>(world_.faults.below(config_.stages));
  const GenerationRecord* newest = oracle_.newest(stage);
  if (!newest) return;
  const GenerationRecord record = *newest;
  const uint32_t shards = record.data_shards + record.parity_shards;
  const uint64_t i = world_.faults.below(record.held_by.size());
  const auto stripe = static_cast<uint32_t>(i / shards), shard = static_cast<uint32_t>(i % shards);
  const PeerId vault = record.holders[record.held_by[i]].vault;
  const auto at = vaults_.find(vault);
  if (at == vaults_.end()) return;
  const MutableBytes memory = at->second->store.memory(stage, record.revision, stripe, shard);
  if (memory.empty()) return;
  memory[world_.faults.below(memory.size())] ^= std::byte{1};
  world_.trace("corrupt", static_cast<int>(at->second->host), stripe, shard);
  ++outcome_.losses;
  oracle_.corrupted(vault, stage, record.revision, stripe, shard);
}

void ShardsCluster::pause_somebody() {
  const Duration length = World::between(world_.faults, milliseconds(1), milliseconds(200));
  if (world_.faults.chance(0.5)) {
    if (vaults_.empty()) return;
    const PeerId id = any(vaults_, world_.faults)->first;
    vaults_.at(id)->gate.paused = true;
    world_.after(length, [this, id] {
      const auto at = vaults_.find(id);
      if (at == vaults_.end()) return;
      at->second->gate.paused = false;
      for (Action& action : std::exchange(at->second->gate.waiting, {})) action();
    });
    return;
  }
  if (trainers_.empty()) return;
  const PeerId id = any(trainers_, world_.faults)->first;
  trainers_.at(id)->gate.paused = true;
  world_.after(length, [this, id] {
    const auto at = trainers_.find(id);
    if (at == trainers_.end()) return;
    at->second->gate.paused = false;
    for (Action& action : std::exchange(at->second->gate.waiting, {})) action();
  });
}

void ShardsCluster::crash_coordinator() { crash_office(); }

void ShardsCluster::cut_log() {
  if (!office_) return;
  office_->core->cut_log();
  settle();
}

// Nothing strikes any more; what is down comes back by itself.
void ShardsCluster::heal() {
  healed_ = true;
  world_.trace("healed", -1);
}

bool ShardsCluster::healthy() const {
  if (!office_ || vault_at_.size() < config_.hosts) return false;
  for (uint32_t stage = 0; stage < config_.stages; ++stage)
    if (oracle_.lost_shards(stage) > 0) return false;
  return true;
}

}  // namespace rhz::sim
