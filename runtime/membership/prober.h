// What the links of this peer cost, as a step function: now and then it sends a few small messages
// to some members, then a few large ones, and waits for the answer to each.
//
//   latency    half of the shortest way there and back of a small one
//   bandwidth  size of a large one, over what its shortest way takes longer than that
//
// Both are the best of three passes, because everything that disturbs makes them worse.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <vector>

#include "runtime/base/types.h"
#include "runtime/transport/link_cost.h"

namespace rhz {

class Prober {
 public:
  static constexpr uint32_t kBurstBytes = 256u << 10;  // as large as an op's frames

  struct Probe {
    PeerId to;
    uint64_t number = 0;
    uint32_t bytes = 0;  // 0, or kBurstBytes
  };

  // The peers that count from now on, at an install; what is known of others is forgotten.
  void watch(Time now, const std::vector<PeerId>& peers);
  // What is to be sent now, if anything.  A pass begins when this peer is idle, or when it could
  // wait no longer for that.
  std::optional<Probe> tick(Time now, bool idle);
  // False: that was no answer to what is waited for.  True: tick() may have more.
  bool answered(Time now, PeerId from, uint64_t number);
  Time next_tick(Time now) const;
  bool waits() const { return waiting_; }  // for an answer

  // Of peers that answered.
  const std::map<PeerId, LinkCost>& costs() const { return costs_; }

 private:
  static constexpr size_t kPasses = 3;
  struct Link {
    std::array<LinkCost, kPasses> passes;  // the newest ones; zeros: none
    size_t next = 0;
  };

  void end_visit();
  void end_pass(Time now);

  std::vector<PeerId> peers_;
  std::map<PeerId, Link> links_;
  std::map<PeerId, LinkCost> costs_;

  Time due_ = kNever;   // the next pass
  Duration pause_{};    // … and the one after that
  bool running_ = false;
  size_t at_ = 0;       // who is asked
  uint32_t step_ = 0;   // probes of this visit that were answered
  Duration small_{}, large_{};  // shortest of this visit; zero: none
  uint64_t number_ = 0;         // of the newest probe
  bool waiting_ = false;
  Time sent_{};
};

}  // namespace rhz
