// Which fault strikes next, when, whom and for how long: all of it from one seed, nothing from what the run does meanwhile.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/prng.h"

namespace rhz::tools {

enum class FaultKind : uint8_t {
  kKill,         // SIGKILL of one peer
  kKillSeveral,  // of several at once; one stays
  kPause,        // SIGSTOP for less than the suspicion time: nobody is to be evicted
  kFreeze,       // SIGSTOP for longer, rarely for much longer: the peer is out, and comes back
  kSlow,         // stopped for nineteen twentieths of the time: nobody is to be evicted
  kReset,        // TCP connections of a peer end: nobody is to be evicted
  kCoordinator,  // SIGKILL of the coordinator, which is started again on its log
  kKillJoiners,  // SIGKILL of peers that were started again and are not members yet
  kGarbage,      // strangers at the ports of peers and of the coordinator: nobody is to be evicted, and memory stays bounded
  kDescriptors,  // a peer, or the coordinator, can open no more files
  kMemory,       // a peer gets no more memory: it fails, or ends
  kFullDisk,     // the coordinator's log cannot grow
  // With a network of ours:
  kBlip,            // a peer is cut off for so short a time that nobody is to be evicted
  kPartition,       // several peers are cut off from the others and from the coordinator
  kOneWay,          // a peer hears nothing, or is not heard
  kEdge,            // two peers do not hear each other, or one of them not the other
  kFlipFlop,        // a peer is cut off, and is not, and is …
  kNarrow,          // a peer's line carries 1 Mbit/s: nobody is to be evicted
  kRough,           // what a peer sends and gets is late, overtakes each other, and is lost in part
  kCutCoordinator,  // nobody reaches the coordinator: nobody is to be evicted
  kFlips,           // bits flip in what a peer sends and gets: nobody is to be evicted
};
// In this order, those of the processes first.
inline constexpr size_t kProcessFaults = 12, kFaults = 21;
constexpr bool is_of_network(FaultKind kind) { return kind >= FaultKind::kBlip; }
constexpr bool is_scarcity(FaultKind kind) { return kind >= FaultKind::kGarbage && kind <= FaultKind::kFullDisk; }
std::string_view name_of(FaultKind kind);
std::optional<FaultKind> fault_of(std::string_view name);
// The first so many.
std::vector<FaultKind> all_faults(bool with_network);
std::string fault_names(bool with_network);  // "kill, …"

struct Fault {
  FaultKind kind = FaultKind::kKill;
  uint64_t at_ns = 0;           // since the beginning
  std::vector<uint32_t> order;  // of all peers: the first that may be struck are
  uint32_t victims = 1;         // how many, of kKillSeveral, kKillJoiners, kPartition and kGarbage
  uint64_t lasts_ns = 0;        // of those that end
  double strength = 0;          // 0 … 1: how rough, in which direction, how much is left
};

class FaultPlan {
 public:
  // `mean_ns`: between two faults.  `kinds`: not empty.
  FaultPlan(uint64_t seed, uint32_t peers, uint64_t mean_ns, uint64_t suspicion_ns, std::vector<FaultKind> kinds);
  const Fault& next() const { return next_; }
  void advance();

 private:
  Prng when_, what_, whom_, how_long_, how_much_;  // so that taking a kind away moves none of the others' choices more than it must
  const uint32_t peers_;
  const uint64_t mean_ns_, suspicion_ns_;
  const std::vector<FaultKind> kinds_;
  Fault next_;
};

}  // namespace rhz::tools
