// What a seed of the simulator of shards decides before anything happens.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/base/types.h"

namespace rhz::sim {

struct ShardsConfig {
  uint64_t seed = 0;
  uint32_t hosts = 0, racks = 0, stages = 0;  // racks 0: none
  uint32_t data_shards = 0, parity_shards = 0;
  uint64_t state_bytes = 0, shard_bytes = 0;  // the latter at most
  uint64_t vault_limit = 0;
  uint64_t budget_bytes = 0;  // of a step
  Duration latency{}, detection{}, tick{}, chaos{}, patience{};
  double spike = 0;         // share of messages that take ten times as long
  double append_crash = 0;  // per action of the coordinator
  // Blows per second.
  double vault_crash = 0, trainer_crash = 0, host_crash = 0, rack_crash = 0, corrupt = 0, pause = 0,
         coordinator_crash = 0, cut_log = 0;

  std::string text() const;
};

ShardsConfig make_shards_config(uint64_t seed);

}  // namespace rhz::sim
