// Virtual time and chance: an event queue keyed by (time, seeded tie-break), and a random stream
// per concern, so that taking a fault away does not reshuffle the rest.  One thread; nothing here
// knows the protocol.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <string>
#include <vector>

#include "runtime/base/prng.h"
#include "runtime/base/types.h"

namespace rhz::sim {

using Action = std::function<void()>;

class World {
 public:
  explicit World(uint64_t seed);

  Time now() const { return now_; }
  void at(Time when, Action action);
  void after(Duration delay, Action action) { at(now_ + delay, std::move(action)); }
  // Carries out the next event; false when there is none.
  bool step();
  bool step_until(Time end);

  // Every transition goes into the hash, and to stdout when a timeline is wanted.  `who`: a
  // process, or -1 for the coordinator.
  void trace(const char* what, int who, uint64_t a = 0, uint64_t b = 0, const char* text = "");
  uint64_t hash() const { return hash_; }
  uint64_t events() const { return events_; }
  bool timeline = false;

  Prng topology, latency, faults, workload, scheduling, letters, readers;

  // Uniform in [low, high], and log-uniform.
  static Duration between(Prng& random, Duration low, Duration high);
  static double log_uniform(Prng& random, double low, double high);

 private:
  struct Event {
    Time at;
    uint64_t tie;
    uint32_t slot;
    bool operator>(const Event& other) const {
      return at != other.at ? at > other.at : tie > other.tie;
    }
  };
  Time now_{};
  uint64_t hash_ = 0, events_ = 0;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> queue_;
  std::vector<Action> actions_;  // by slot, so that the heap moves small things
  std::vector<uint32_t> vacant_;
};

}  // namespace rhz::sim
