// What a seed decides before anything happens: sizes, timing, and which faults strike how often.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "collectives/communicator.h"
#include "runtime/agreement/view.h"
#include "runtime/base/prng.h"
#include "runtime/membership/coordinator.h"
#include "runtime/membership/member.h"

namespace rhz::sim {

enum class Fault : uint8_t {
  kCrash,
  kPause,      // shorter than the suspicion time
  kLongPause,  // longer
  kPartition,  // of two sides, symmetric
  kOneWay,     // as kPartition, in one direction
  kEdge,       // between two peers
  kBreak,      // as kEdge, and nothing ever mends it
  kIsolate,    // one peer from everybody
  kJoin,
  kLeave,
  kCoordinatorCrash,
  kCoordinatorPause,
  kAccuse,  // false evidence against a live peer
  kSlow,
  kControlReset,  // of one control connection
  kCancel,
  kCutLog,
  kCount,
};
inline constexpr size_t kFaults = static_cast<size_t>(Fault::kCount);
const char* fault_name(Fault fault);
// Counts towards the figure "churn events" of docs/testing.md.
bool is_churn(Fault fault);

struct Config {
  uint64_t seed = 0;
  uint32_t processes = 0;  // that the fault scheduler keeps alive, joiners included
  RunConfig run;
  CoordinatorTiming coordinator;
  MemberTiming member;
  CommunicatorLimits limits;

  Duration base_latency{};
  double spike = 0;          // share of messages that take ten times as long
  Duration calm{}, chaos{};  // before the first fault, and with faults
  Duration patience{};       // after the healing everything must be over by then
  bool codec = false;        // control messages pass through runtime/wire
  double append_crash = 0;   // chance per action that the coordinator dies right there
  double drift = 0;          // largest relative error of a clock

  double bulk = 0, in_place = 0;  // shares of ops
  uint32_t ops_per_step = 1;
  uint32_t admit_every = 1;  // steps
  bool big_state = false;

  std::array<double, kFaults> per_second{};  // 0: off

  std::string text() const;
};

Config make_config(uint64_t seed);
// Switches faults off that are not named: "crash,join" …; for finding what a failure needs.
bool only_faults(Config& config, const std::string& names);

}  // namespace rhz::sim
