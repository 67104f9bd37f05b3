// What a seed decides before anything happens: sizes, timing, and which faults strike how often.
#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "collectives/communicator.h"
#include "collectives/p2p/message.h"
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
  kZombie,  // a new coordinator is started while the old one stands still, which then comes back
  kAccuse,  // false evidence against a live peer
  kSlow,
  kControlReset,  // of one control connection
  kReset,         // of one data connection, wherever it is in a frame; the lane is resumed
  kCancel,
  kCutLog,
  kFlip,  // of one bit of a final value on its way, which no checksum notices
  kReplay,  // what a data connection carried in older epochs comes again, as from a zombie
  kDomain,  // all processes of a host, or of a rack, die at once
  kMark,    // a peer dies at one of its actions (marks.h)
  kClog,    // some edges are cut one after the other, and mended in another order
  kCollapse,    // bytes of an edge, or of a peer, take a hundred times as long
  kZeroWindow,  // one lane is not read for a while
  kFailedSync,  // the coordinator's next append fails, and nobody knows what the disk has of it
  kFullDisk,    // … and all of them for a while
  kLogFlip,     // of one bit in what the next coordinator reads of the log
  kCount,
};
inline constexpr size_t kFaults = static_cast<size_t>(Fault::kCount);
// From here on they draw from streams of their own, so that seeds keep what they had of the others.
inline constexpr auto kFirstOfLater = Fault::kReplay;
const char* fault_name(Fault fault);

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
  bool codec = false;        // control messages and headers of frames pass through runtime/wire
  double append_crash = 0;   // chance per action that the coordinator dies right there
  double drift = 0;          // largest relative error of a clock
  double cpu_us = 0;         // that a process is busy with an event

  bool core_only = false;   // the healing is that of a random core; the rest stays broken for good
  bool late_break = false;  // an edge of it breaks for good in the last moment

  double bulk = 0, in_place = 0;  // shares of ops
  double odd = 0, hasty = 0;      // … that one rank gets wrong, and that have a time-out
  double late = 0;                // … whose input comes piece by piece behind the submission, where all add to it
  double early = 0;               // … whose result is read before the op is over, as far as it is there
  bool floats = false;            // f32, whose bits tell the order of the sums
  uint32_t ops_per_step = 1;
  bool groups = false;  // sub-communicators, with ops on several of them at once
  uint32_t letters = 0;          // most sends and receives of a step, beside its ops
  bool hurried_letters = false;  // have time-outs, and are cancelled: some have no other side
  MessageLimits message_limits;
  double others = 0.35;          // share of the collectives that are not all-reduces
  double include = 0;            // share of the all-reduces in mode keep that are in mode include instead
  double varying = 0;            // share of the collectives with blocks whose sizes differ
  uint32_t admit_every = 1;  // steps
  bool ahead = false;        // the first op of the next step is submitted behind the open boundary
  bool big_state = false;
  bool short_of_memory = false;  // every other member takes no copy for them
  bool follows = false;     // and apply what the members recorded since
  double astray = 0;        // share of these updates that are applied wrongly, or not at all
  Duration page_time{};     // that the memory for it takes
  uint64_t copy_steps = 1;  // in so many, a microsecond each
  bool bulk_sync = false;  // newcomers pull the state while the members go on, before they enter

  std::array<double, kFaults> per_second{};     // 0: off
  std::set<std::pair<Fault, uint32_t>> spared;  // single blows that do not fall, by kind and number

  double rate(Fault fault) const { return per_second[static_cast<size_t>(fault)]; }
  std::string text() const;
};

Config make_config(uint64_t seed);
// Switches faults off that are not named: "crash,join" …; for finding what a failure needs.
bool only_faults(Config& config, const std::string& names);

}  // namespace rhz::sim
