#include "api/tools/demo/script.h"

#include <algorithm>

#include "api/tools/text.h"

namespace rhz::demo {

using tools::format;
using tools::monotonic_ns;

Script::Script(Cast& cast, const DemoOptions& options)
    : cast_(cast),
      options_(options),
      random_(options.seed ? options.seed : random_u64()),
      begun_ns_(monotonic_ns()) {
  enter(Act::kCurtain, "the coordinator starts", 15);
  if (Status status = cast_.start_coordinator(); !status) fail(status.text());
}

void Script::enter(Act act, const std::string& text, uint32_t limit_s) {
  act_ = act;
  act_text_ = text;
  step_ = cast_.front_step();
  deadline_ns_ = monotonic_ns() + uint64_t{limit_s} * 1'000'000'000;
}

void Script::fail(const std::string& why) {
  if (failure_.empty()) failure_ = why;
}

Event& Script::begin_event(std::string what) {
  events_.push_back({std::move(what), "", monotonic_ns(), -1});
  return events_.back();
}

void Script::healed(uint64_t at_ns, std::string outcome) {
  Event& event = events_.back();
  event.outcome = std::move(outcome);
  event.heal_ms = at_ns > event.at_ns ? static_cast<double>(at_ns - event.at_ns) / 1e6 : 0;
}

// Every trainer that trains has told a step in a later epoch than that, with so many members.
bool Script::all_past(uint64_t epoch, size_t world) const {
  return std::all_of(cast_.trainers().begin(), cast_.trainers().end(), [&](const Trainer& t) {
    return !t.trains() || (t.epoch > epoch && t.world == world);
  });
}

// When the last trainer told its first step of the present epoch.
uint64_t Script::last_epoch_ns() const {
  uint64_t last = 0;
  for (const Trainer& t : cast_.trainers())
    if (t.trains()) last = std::max(last, t.epoch_ns);
  return last;
}

// A death that the script did not cause is a failure of what is shown.
void Script::check_nobody_fell() {
  for (const Trainer& t : cast_.trainers()) {
    if (!t.wait_status || t.state == Trainer::State::kKilled) continue;
    if (*t.wait_status != 0) {
      fail(format("trainer %s ended: %s; it said: %s", t.name.c_str(),
                  tools::wait_text(*t.wait_status).c_str(), t.last_words.c_str()));
    } else if (act_ != Act::kLastSteps) {
      fail("trainer " + t.name +
           " was done with its steps before all faults were shown; more --steps");
    }
  }
  const bool away = act_ == Act::kAlone || act_ == Act::kLoseCoordinator;
  if (!away && !cast_.coordinator_lives())
    fail("the coordinator ended: " + cast_.coordinator_said());
}

uint64_t Script::newest_epoch() const {
  uint64_t epoch = 0;
  for (const Trainer& t : cast_.trainers())
    if (t.trains()) epoch = std::max(epoch, t.epoch);
  return epoch;
}

bool Script::play() {
  check_nobody_fell();
  const uint64_t now = monotonic_ns();
  if (now >= begun_ns_ + uint64_t{options_.limit_s} * 1'000'000'000)
    fail(format("not done after %u s, while %s", options_.limit_s, act_text_.c_str()));
  if (now >= deadline_ns_) fail("waited too long while " + act_text_);
  if (failed()) return false;
  switch (act_) {
    case Act::kCurtain: curtain(); break;
    case Act::kFound: found(); break;
    case Act::kAim: aim(); break;
    case Act::kHealKill: heal_kill(); break;
    case Act::kLoseCoordinator: lose_coordinator(); break;
    case Act::kAlone: alone(); break;
    case Act::kBack: back(); break;
    case Act::kGuest: guest(); break;
    case Act::kFreeze: freeze(); break;
    case Act::kEvict: evict(); break;
    case Act::kThaw: thaw(); break;
    case Act::kLastSteps: last_steps(); break;
    case Act::kOver: break;
  }
  return !failed() && act_ != Act::kOver;
}

}  // namespace rhz::demo
