#include "tests/sim/shards_config.h"

#include <algorithm>

#include "tests/sim/world.h"

namespace rhz::sim {

ShardsConfig make_shards_config(uint64_t seed) {
  Prng dice(mix64(seed) ^ 0x5aad5);
  ShardsConfig c;
  c.seed = seed;
  c.data_shards = 1 + static_cast<uint32_t>(dice.below(4));
  c.parity_shards = 1 + static_cast<uint32_t>(dice.below(3));
  const uint32_t shards = c.data_shards + c.parity_shards;
  const uint32_t domains = (shards + c.parity_shards - 1) / c.parity_shards;
  c.hosts = shards + static_cast<uint32_t>(dice.below(4));
  if (dice.chance(0.5) && c.hosts > domains + 1)
    c.racks = domains + 1 + static_cast<uint32_t>(dice.below(c.hosts - domains - 1));
  c.stages = 1 + static_cast<uint32_t>(dice.below(std::min(3u, c.hosts)));
  c.state_bytes = 1 + dice.below(4000);
  c.shard_bytes = 64 + dice.below(1000);
  const bool big = dice.chance(0.005);  // several ranges a shard; costs as much as many small ones
  if (big) {
    c.state_bytes = 1300000 + dice.below(1000000);
    c.shard_bytes = 1300000;
    c.data_shards = 1;
  }
  c.vault_limit = dice.chance(0.2) ? 4 * c.stages * c.state_bytes + 8192 : uint64_t{1} << 40;
  c.budget_bytes = dice.chance(0.5) ? 256 : 1u << 22;
  c.latency = World::between(dice, microseconds(20), milliseconds(5));
  c.detection = World::between(dice, milliseconds(1), milliseconds(100));
  c.tick = World::between(dice, milliseconds(1), milliseconds(10));
  c.chaos = big ? milliseconds(300) : milliseconds(3000);
  c.patience = std::chrono::seconds(20);
  c.spike = dice.chance(0.5) ? World::log_uniform(dice, 0.001, 0.1) : 0;
  c.append_crash = dice.chance(0.5) ? World::log_uniform(dice, 0.0001, 0.01) : 0;
  // Each kind in half of the seeds, at rates of all sizes: what always strikes hides the rest.
  const auto rate = [&](double low, double high) {
    const double value = World::log_uniform(dice, low, high);
    return dice.chance(0.5) ? value : 0.0;
  };
  c.vault_crash = rate(1, 40);
  c.trainer_crash = rate(1, 20);
  c.host_crash = rate(0.3, 5);
  c.rack_crash = rate(0.2, 2);
  c.corrupt = rate(2, 60);
  c.pause = rate(0.5, 10);
  c.coordinator_crash = rate(0.3, 3);
  c.cut_log = rate(0.3, 3);
  return c;
}

std::string ShardsConfig::text() const {
  const auto n = [](const char* name, auto value) {
    return std::string(name) + "=" + std::to_string(value) + " ";
  };
  return n("hosts", hosts) + n("racks", racks) + n("stages", stages) + n("k", data_shards) +
         n("m", parity_shards) + n("state_bytes", state_bytes) + n("shard_bytes", shard_bytes) +
         n("budget", budget_bytes) + n("latency_us", latency.count() / 1000) +
         n("vault_crash", vault_crash) + n("trainer_crash", trainer_crash) +
         n("host_crash", host_crash) + n("rack_crash", rack_crash) + n("corrupt", corrupt) +
         n("pause", pause) + n("coordinator_crash", coordinator_crash) +
         n("append_crash", append_crash);
}

}  // namespace rhz::sim
