#include "api/tools/demo/table.h"

#include <cstdio>

#include "api/tools/text.h"

namespace rhz::demo {
namespace {

using tools::format;
using tools::monotonic_ns;
using ull = unsigned long long;

constexpr uint64_t kRedrawNs = 250'000'000, kLineNs = 1'000'000'000;
constexpr const char* kHome = "\033[H";
constexpr const char* kClearLine = "\033[K";
constexpr const char* kClearBelow = "\033[J";
constexpr const char* kClearAll = "\033[2J";

const char* state_text(Trainer::State state) {
  switch (state) {
    case Trainer::State::kStarting: return "starting";
    case Trainer::State::kTraining: return "training";
    case Trainer::State::kFrozen: return "frozen";
    case Trainer::State::kOut: return "evicted";
    case Trainer::State::kKilled: return "killed";
    case Trainer::State::kEnded: return "done";
  }
  return "?";
}

const Trainer* leader(const Cast& cast) {
  const Trainer* first = nullptr;
  for (const Trainer& t : cast.trainers())
    if (!first || t.line_ns > first->line_ns) first = &t;
  return first;
}

}  // namespace

Table::Table(const Cast& cast, const Script& script, const DemoOptions& options, bool live)
    : cast_(cast), script_(script), options_(options), live_(live) {
  if (live_) std::printf("%s%s", kClearAll, kHome);
}

void Table::show() {
  const uint64_t now = monotonic_ns();
  if (!live_) return say();
  if (now - shown_ns_ < kRedrawNs) return;
  shown_ns_ = now;
  draw();
}

void Table::show_last() {
  shown_ns_ = 0;
  show();
}

std::string Table::head() const {
  const auto& status = cast_.status();
  const double seconds = static_cast<double>(monotonic_ns() - script_.begun_ns()) / 1e9;
  const std::string coordinator =
      status                      ? format("epoch %llu, %u members, record %llu of the log",
                                           static_cast<ull>(status->view.epoch.value), status->view.size(),
                                           static_cast<ull>(status->last_index.value))
      : cast_.coordinator_lives() ? std::string("starting")
                                  : std::string("dead");
  return format("Rhizome demo  %6.1f s   step %llu of %u   coordinator: %s", seconds,
                static_cast<ull>(cast_.front_step()), options_.steps, coordinator.c_str());
}

std::string Table::trainer_row(const Trainer& t) const {
  return format("  %-7s %4u %7d  %-9s %6llu %6llu %6u  %8.4f %9.2f %8llu", t.name.c_str(), t.slot,
                static_cast<int>(t.child.pid), state_text(t.state), static_cast<ull>(t.step),
                static_cast<ull>(t.epoch), t.world, t.loss, t.op_ms, static_cast<ull>(t.rebuilds));
}

std::string Table::event_row(const Event& e) const {
  const double at = static_cast<double>(e.at_ns - script_.begun_ns()) / 1e9;
  if (e.heal_ms < 0) return format("  %6.1f s  %-30s …", at, e.what.c_str());
  return format("  %6.1f s  %-30s %8.1f ms  %s", at, e.what.c_str(), e.heal_ms, e.outcome.c_str());
}

void Table::draw() const {
  std::string text = kHome;
  auto line = [&](const std::string& one) { text += one + kClearLine + "\n"; };
  line(head());
  line("");
  line("  trainer slot     pid  state       step  epoch  world      loss     op ms rebuilds");
  for (const Trainer& t : cast_.trainers()) line(trainer_row(t));
  line("");
  line("  faults and guests                          healed after");
  for (const Event& e : script_.events()) line(event_row(e));
  line("");
  line("  now: " + script_.act_text());
  std::fputs((text + kClearBelow).c_str(), stdout);
  std::fflush(stdout);
}

// In a pipe: each event when it comes and when it has healed, and the state of things once a
// second.
void Table::say() {
  const auto& events = script_.events();
  const double seconds = static_cast<double>(monotonic_ns() - script_.begun_ns()) / 1e9;
  for (; events_ended_ < events.size() && events[events_ended_].heal_ms >= 0; ++events_ended_) {
    const Event& e = events[events_ended_];
    std::printf("%7.1f s  HEALED %s after %.1f ms: %s\n", seconds, e.what.c_str(), e.heal_ms,
                e.outcome.c_str());
  }
  for (; events_begun_ < events.size(); ++events_begun_)
    std::printf("%7.1f s  EVENT %s\n", seconds, events[events_begun_].what.c_str());
  if (told_act_ != script_.act_text()) {
    told_act_ = script_.act_text();
    std::printf("%7.1f s  %s\n", seconds, told_act_.c_str());
  }
  const uint64_t now = monotonic_ns();
  const Trainer* t = leader(cast_);
  if (now - shown_ns_ >= kLineNs && t && t->step > 0) {
    shown_ns_ = now;
    std::printf("%7.1f s  step=%llu epoch=%llu members=%u loss=%.4f op_ms=%.2f training=%zu\n",
                seconds, static_cast<ull>(t->step), static_cast<ull>(t->epoch), t->world, t->loss,
                t->op_ms, cast_.training());
  }
  std::fflush(stdout);
}

}  // namespace rhz::demo
