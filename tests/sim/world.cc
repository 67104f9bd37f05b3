#include "tests/sim/world.h"

#include <cmath>
#include <cstdio>
#include <utility>

namespace rhz::sim {
namespace {
Prng stream(uint64_t seed, uint64_t label) { return Prng(mix64(seed) ^ mix64(label)); }
}  // namespace

World::World(uint64_t seed)
    : topology(stream(seed, 1)),
      latency(stream(seed, 2)),
      faults(stream(seed, 3)),
      workload(stream(seed, 4)),
      scheduling(stream(seed, 5)),
      letters(stream(seed, 6)),
      readers(stream(seed, 7)) {}

void World::at(Time when, Action action) {
  uint32_t slot = 0;
  if (vacant_.empty()) {
    slot = static_cast<uint32_t>(actions_.size());
    actions_.push_back(std::move(action));
  } else {
    slot = vacant_.back();
    vacant_.pop_back();
    actions_[slot] = std::move(action);
  }
  queue_.push({std::max(when, now_), scheduling.next(), slot});
}

bool World::step() {
  if (queue_.empty()) return false;
  const Event event = queue_.top();
  queue_.pop();
  now_ = event.at;
  ++events_;
  Action action = std::exchange(actions_[event.slot], nullptr);
  vacant_.push_back(event.slot);
  action();
  return true;
}

bool World::step_until(Time end) { return !queue_.empty() && queue_.top().at <= end && step(); }

void World::trace(const char* what, int who, uint64_t a, uint64_t b, const char* text) {
  uint64_t h = hash_ ^ static_cast<uint64_t>(now_.count());
  for (const char* c = what; *c; ++c) h = h * 31 + static_cast<unsigned char>(*c);
  hash_ = mix64(h ^ mix64(a + 0x9e37u) ^ mix64(b + 0x79b9u) ^ static_cast<uint64_t>(who + 2));
  if (!timeline) return;
  std::string name = who < 0 ? "coordinator" : "p";
  if (who >= 0) name += std::to_string(who);
  std::printf("%12.6f ms  %-12s %-18s %llu %llu %s\n", static_cast<double>(now_.count()) / 1e6,
              name.c_str(), what, static_cast<unsigned long long>(a),
              static_cast<unsigned long long>(b), text);
}

Duration World::between(Prng& random, Duration low, Duration high) {
  return low + Duration(static_cast<int64_t>(
                   random.below(static_cast<uint64_t>((high - low).count()) + 1)));
}

double World::log_uniform(Prng& random, double low, double high) {
  return low * std::exp(random.unit() * std::log(high / low));
}

}  // namespace rhz::sim
