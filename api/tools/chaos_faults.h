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
  kFreeze,       // SIGSTOP for longer: the peer is out, and comes back
  kSlow,         // stopped for nine tenths of the time: nobody is to be evicted
  kReset,        // TCP connections of a peer end: nobody is to be evicted
  kCoordinator,  // SIGKILL of the coordinator, which is started again on its log
};
inline constexpr FaultKind kAllFaults[] = {FaultKind::kKill, FaultKind::kKillSeveral, FaultKind::kPause,
                                           FaultKind::kFreeze, FaultKind::kSlow, FaultKind::kReset, FaultKind::kCoordinator};
std::string_view name_of(FaultKind kind);
std::optional<FaultKind> fault_of(std::string_view name);
std::string fault_names();  // "kill, …"

struct Fault {
  FaultKind kind = FaultKind::kKill;
  uint64_t at_ns = 0;           // since the beginning
  std::vector<uint32_t> order;  // of all peers: the first that may be struck are
  uint32_t victims = 1;         // how many, of kKillSeveral
  uint64_t lasts_ns = 0;        // of those that end
};

class FaultPlan {
 public:
  // `mean_ns`: between two faults.  `kinds`: not empty.
  FaultPlan(uint64_t seed, uint32_t peers, uint64_t mean_ns, uint64_t suspicion_ns, std::vector<FaultKind> kinds);
  const Fault& next() const { return next_; }
  void advance();

 private:
  Prng when_, what_, whom_, how_long_;  // so that taking a kind away moves none of the others' choices more than it must
  const uint32_t peers_;
  const uint64_t mean_ns_, suspicion_ns_;
  const std::vector<FaultKind> kinds_;
  Fault next_;
};

}  // namespace rhz::tools
