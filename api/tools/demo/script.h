// The play: one fault after the other, each begun when the one before has healed.  Moves on events;
// every act has a deadline.
#pragma once

#include <string>
#include <vector>

#include "api/tools/demo/cast.h"
#include "runtime/base/prng.h"

namespace rhz::demo {

// A fault, or a guest, and how long it took until all was well again.
struct Event {
  std::string what, outcome;  // outcome: empty until it healed
  uint64_t at_ns = 0;
  double heal_ms = -1;
};

class Script {
 public:
  Script(Cast& cast, const DemoOptions& options);

  // Looks whether the act's condition has come true; true while the play goes on.
  bool play();
  bool failed() const { return !failure_.empty(); }
  const std::string& failure() const { return failure_; }
  const std::string& act_text() const { return act_text_; }
  const std::vector<Event>& events() const { return events_; }
  uint64_t begun_ns() const { return begun_ns_; }

 private:
  enum class Act : uint8_t {
    kCurtain,   // the coordinator starts
    kFound,     // the trainers join
    kAim,       // until the next all-reduce is under way: SIGKILL
    kHealKill,  // survivors go on
    kLoseCoordinator,
    kAlone,   // steps without a coordinator
    kBack,    // it resumes from its log
    kGuest,   // a new peer joins
    kFreeze,  // SIGSTOP
    kEvict,   // the others go on
    kThaw,    // SIGCONT; it joins again
    kLastSteps,
    kOver,
  };
  // script.cc
  void enter(Act act, const std::string& text, uint32_t limit_s);
  void fail(const std::string& why);
  void check_nobody_fell();
  Event& begin_event(std::string what);
  void healed(uint64_t at_ns, std::string outcome);
  bool all_past(uint64_t epoch, size_t world) const;
  uint64_t last_epoch_ns() const;
  uint64_t newest_epoch() const;  // of those that train
  // script_acts.cc
  void curtain();
  void found();
  void aim();
  void heal_kill();
  void lose_coordinator();
  void alone();
  void back();
  void guest();
  void freeze();
  void evict();
  void thaw();
  void last_steps();
  void start_guest(const std::string& what);
  std::string agreement_text() const;

  Cast& cast_;
  const DemoOptions& options_;
  Prng random_;
  Act act_ = Act::kCurtain;
  std::string act_text_, failure_;
  uint64_t begun_ns_ = 0, deadline_ns_ = 0;
  std::vector<Event> events_;

  size_t victim_ = 0;          // trainer of the present act
  uint64_t epoch_ = 0;         // before the present fault
  uint64_t step_ = 0;          // at which the present act began
  uint64_t rebuilds_ = 0;      // of the survivors, before the kill
  uint32_t kills_ = 0;
  bool op_was_hit_ = false;
};

}  // namespace rhz::demo
