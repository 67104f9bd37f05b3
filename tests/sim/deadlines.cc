#include "tests/sim/deadlines.h"

#include <algorithm>

namespace rhz::sim {
namespace {
// Deaths and broken edges that are found one behind the other, each by up to three suspicion times of silence.
constexpr int64_t kSilences = 15;
// One chunk at a time, there and back, in each op of a step.
constexpr int64_t kHopsPerChunk = 2;
// Seals, elections, ops that others have to end first.
constexpr int64_t kHops = 60;
// That take all the time they may have, and are given up; without a time-out an op waits for them.
constexpr int64_t kJoiners = 2;
}  // namespace

void Deadlines::begun(NodeIndex who, OpKey op, Duration timeout, uint64_t bytes) {
  open_[{who, op}] = {world_.now(), timeout};
  most_bytes_ = std::max(most_bytes_, bytes);
}

std::string Deadlines::ended(NodeIndex who, OpKey op) {
  const auto at = open_.find({who, op});
  if (at == open_.end()) return {};
  const auto [key, open] = *at;
  open_.erase(at);
  return check(key, open);
}

void Deadlines::gone(NodeIndex who) {
  std::erase_if(open_, [who](const auto& open) { return open.first.first == who; });
}

void Deadlines::healed(std::set<NodeIndex> core, Duration slowest) {
  healed_ = world_.now();
  core_ = std::move(core);
  slowest_ = slowest;
}

Time Deadlines::due(const Open& open) const {
  const Duration suspicion = milliseconds(config_.run.suspicion_ms);
  const auto chunks = static_cast<int64_t>(most_bytes_ / config_.run.chunk_bytes + 1);
  Duration most = kSilences * suspicion + (kHopsPerChunk * chunks * config_.ops_per_step + kHops) * slowest_;
  if (open.timeout > Duration::zero())
    most += open.timeout + open.timeout / 20;  // by a clock that may be slow
  else
    most += kJoiners * config_.coordinator.sync_timeout;
  return std::max(healed_, open.begun) + most;
}

std::string Deadlines::check(const Key& key, const Open& open) const {
  if (healed_ == kNever || !core_.contains(key.first) || world_.now() <= due(open)) return {};
  return "op " + std::to_string(key.second.step) + "." + std::to_string(key.second.index) + " at p" + std::to_string(key.first) +
         " is open for " + std::to_string((world_.now() - std::max(healed_, open.begun)).count() / 1000000) + " ms after the healing";
}

std::string Deadlines::look() const {
  if (healed_ == kNever) return {};
  for (const auto& [key, open] : open_)
    if (std::string late = check(key, open); !late.empty()) return late;
  return {};
}

}  // namespace rhz::sim
