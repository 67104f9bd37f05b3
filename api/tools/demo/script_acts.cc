// The acts.  Each looks for what it waits for; when that has come it notes it, and strikes next.
#include <signal.h>

#include <algorithm>

#include "api/tools/demo/script.h"
#include "api/tools/text.h"

namespace rhz::demo {
namespace {

using tools::format;
using tools::monotonic_ns;

constexpr uint32_t kWarmSteps = 8;   // before the first fault, and to measure the rhythm
constexpr uint32_t kCalmSteps = 4;   // between faults
constexpr uint32_t kAloneSteps = 5;  // without a coordinator
constexpr uint32_t kMostKills = 5;   // tries at meeting an all-reduce
constexpr uint32_t kActLimitS = 60;
constexpr uint32_t kTightLimitS = 30;

}  // namespace

void Script::curtain() {
  if (!cast_.coordinator_listens()) return;
  for (uint32_t i = 0; i < options_.peers; ++i)
    if (auto started = cast_.start_trainer(); !started) return fail(started.status().text());
  enter(Act::kFound, format("%u trainers join and take their first steps", options_.peers),
        kActLimitS);
}

void Script::found() {
  if (cast_.training() < options_.peers || cast_.front_step() < kWarmSteps) return;
  enter(Act::kAim, "the next all-reduce is awaited, to kill a peer in the middle of it",
        kActLimitS);
}

// Trainers say when they begin the op of a step, and when it is over.  While some have begun it and
// nobody has it behind it, it is under way; two at least, so that one of them outlives the other.
void Script::aim() {
  const auto& trainers = cast_.trainers();
  if (cast_.front_step() < step_ + kCalmSteps) return;
  std::vector<size_t> candidates;
  for (size_t i = 0; i < trainers.size(); ++i)
    if (trainers[i].reduces() && trainers[i].reduces_step > cast_.front_step())
      candidates.push_back(i);
  if (candidates.size() < 2) return;
  victim_ = candidates[random_.below(candidates.size())];
  epoch_ = newest_epoch();
  rebuilds_ = 0;
  for (const Trainer& t : trainers)
    if (t.trains() && &t != &trainers[victim_]) rebuilds_ += t.rebuilds;
  ++kills_;
  begin_event("SIGKILL of trainer " + trainers[victim_].name);
  cast_.signal(victim_, SIGKILL);
  cast_.trainers()[victim_].state = Trainer::State::kKilled;
  enter(Act::kHealKill, "the survivors finish the step", kTightLimitS);
}

// What the coordinator says about the newest change of the view.
std::string Script::agreement_text() const {
  const auto& status = cast_.status();
  if (!status || status->faults.empty()) return {};
  return format(", agreed on in %.1f ms", static_cast<double>(status->faults.back().heal_us) / 1e3);
}

void Script::heal_kill() {
  const auto& status = cast_.status();
  if (!all_past(epoch_, options_.peers - 1)) return;
  if (!status || status->view.epoch.value <= epoch_) return;  // its answer is a moment old
  uint64_t rebuilds = 0;
  for (const Trainer& t : cast_.trainers())
    if (t.trains()) rebuilds += t.rebuilds;
  op_was_hit_ = rebuilds > rebuilds_;
  healed(last_epoch_ns(), (op_was_hit_ ? "the all-reduce in flight was rebuilt and finished"
                                       : "no all-reduce was in flight, so once more") +
                              agreement_text());
  if (op_was_hit_) {
    return enter(Act::kLoseCoordinator,
                 "training goes on with " + std::to_string(options_.peers - 1), kActLimitS);
  }
  if (kills_ >= kMostKills) return fail("no kill met an all-reduce");
  start_guest("a replacement joins");
}

void Script::lose_coordinator() {
  if (cast_.front_step() < step_ + kCalmSteps) return;
  epoch_ = cast_.status() ? cast_.status()->view.epoch.value : 0;
  if (!epoch_) return;
  begin_event("SIGKILL of the coordinator");
  cast_.kill_coordinator();
  enter(Act::kAlone, "training goes on without a coordinator", kTightLimitS);
}

void Script::alone() {
  const uint64_t steps = cast_.front_step() - step_;
  if (steps < kAloneSteps) return;
  if (Status status = cast_.start_coordinator(); !status) return fail(status.text());
  enter(Act::kBack,
        format("the coordinator comes back (%llu steps went on without it)",
               static_cast<unsigned long long>(steps)),
        kTightLimitS);
}

void Script::back() {
  const auto& status = cast_.status();
  if (!cast_.coordinator_listens() || !status || status->view.epoch.value < epoch_) return;
  const bool all = std::all_of(status->peers.begin(), status->peers.end(),
                               [](const PeerStatus& p) { return !p.member || p.connected; });
  if (!all || !status->resolved) return;
  healed(monotonic_ns(),
         format("%u steps without it; it resumed epoch %llu from its log", kAloneSteps,
                static_cast<unsigned long long>(status->view.epoch.value)));
  start_guest("a new peer joins");
}

void Script::start_guest(const std::string& what) {
  epoch_ = newest_epoch();
  auto started = cast_.start_trainer();
  if (!started) return fail(started.status().text());
  victim_ = started.value();
  begin_event(what + " (trainer " + cast_.trainers()[victim_].name + ")");
  enter(Act::kGuest, what, kActLimitS);
}

void Script::guest() {
  const Trainer& t = cast_.trainers()[victim_];
  if (!t.trains() || !all_past(epoch_, options_.peers)) return;
  healed(last_epoch_ns(), format("in slot %u at step %llu, with the members' state", t.slot,
                                 static_cast<unsigned long long>(t.step)));
  if (!op_was_hit_)
    return enter(Act::kAim, "the next all-reduce is awaited, to kill a peer in the middle of it",
                 kActLimitS);
  enter(Act::kFreeze, "training goes on with " + std::to_string(options_.peers), kActLimitS);
}

void Script::freeze() {
  if (cast_.front_step() < step_ + kCalmSteps) return;
  auto& trainers = cast_.trainers();
  for (size_t i = 0; i < trainers.size(); ++i)
    if (trainers[i].trains() && i != victim_) {  // not the newest one
      victim_ = i;
      break;
    }
  epoch_ = newest_epoch();
  begin_event("SIGSTOP of trainer " + trainers[victim_].name);
  cast_.signal(victim_, SIGSTOP);
  trainers[victim_].state = Trainer::State::kFrozen;
  enter(Act::kEvict, "one peer is frozen; the others wait for it, then go on without it",
        kTightLimitS);
}

void Script::evict() {
  if (!all_past(epoch_, options_.peers - 1)) return;
  if (cast_.front_step() < step_ + kCalmSteps) return;
  healed(last_epoch_ns(),
         format("evicted after %u ms of silence", options_.suspicion_ms) + agreement_text());
  epoch_ = newest_epoch();
  begin_event("SIGCONT of trainer " + cast_.trainers()[victim_].name);
  cast_.signal(victim_, SIGCONT);
  enter(Act::kThaw, "the thawed peer learns that it is out, and joins again", kTightLimitS);
}

void Script::thaw() {
  const Trainer& t = cast_.trainers()[victim_];
  if (!t.trains() || t.joins < 2 || !all_past(epoch_, options_.peers)) return;
  healed(last_epoch_ns(), format("joined again in slot %u at step %llu", t.slot,
                                 static_cast<unsigned long long>(t.step)));
  enter(Act::kLastSteps, format("training to step %u", options_.steps), options_.limit_s);
}

void Script::last_steps() {
  const bool all = std::none_of(cast_.trainers().begin(), cast_.trainers().end(),
                                [](const Trainer& t) { return t.lives(); });
  if (all) enter(Act::kOver, "done", 1);
}

}  // namespace rhz::demo
