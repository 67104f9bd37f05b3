#include "api/tools/demo/proof.h"

#include <algorithm>
#include <set>

#include "api/tools/text.h"

namespace rhz::demo {
namespace {

using tools::format;

// A model that has learnt nothing has a loss of ln 256 = 5.5 nats a byte; text's byte frequencies
// alone give about 3.2.
constexpr double kFallen = 0.75;  // of the first loss

std::vector<const Trainer*> finishers(const Cast& cast) {
  std::vector<const Trainer*> all;
  for (const Trainer& t : cast.trainers())
    if (t.final_line && t.wait_status == 0) all.push_back(&t);
  return all;
}

Proof same_digest(const std::vector<const Trainer*>& all, const DemoOptions& o) {
  std::set<std::string> digests;
  std::set<uint64_t> steps;
  std::string names;
  for (const Trainer* t : all) {
    digests.insert(t->final_line->digest);
    steps.insert(t->final_line->step);
    names += (names.empty() ? "" : ", ") + t->name;
  }
  const bool one = digests.size() == 1 && digests.begin()->size() == 32;
  const bool holds = all.size() >= o.peers && one && steps == std::set<uint64_t>{o.steps};
  if (holds) {
    return {true, format("one digest on all %zu peers (%s) at step %u: %s", all.size(),
                         names.c_str(), o.steps, digests.begin()->c_str())};
  }
  return {false, format("%zu peers ended at %zu different steps with %zu different digests",
                        all.size(), steps.size(), digests.size())};
}

Proof loss_fell(const std::vector<const Trainer*>& all) {
  bool holds = !all.empty();
  double first = 0, last = 0;
  for (const Trainer* t : all) {
    first = t->final_line->first_loss;
    last = std::max(last, t->final_line->loss);
    holds &= t->final_line->loss < kFallen * first;
  }
  return {holds, format("the loss %s from %.4f to %.4f nats a byte",
                        holds ? "fell" : "did not fall enough:", first, last)};
}

// A peer that was evicted got its own call back as evicted: the others finished that op without it.
Proof no_op_failed(const Cast& cast, const std::vector<const Trainer*>& all) {
  uint64_t failed = 0, evicted = 0, retries = 0;
  for (const Trainer* t : all) {
    failed += t->final_line->failed_ops;
    evicted += t->evictions;
  }
  for (const Trainer& t : cast.trainers()) retries += t.retries;
  const bool holds = !all.empty() && failed <= evicted && retries == 0;
  if (holds) {
    return {
        true,
        format("no member's op failed (the frozen peer's own one ended as evicted, %llu time%s)",
               static_cast<unsigned long long>(evicted), evicted == 1 ? "" : "s")};
  }
  return {false,
          format("%llu ops failed, %llu of them as evicted; %llu steps were tried again",
                 static_cast<unsigned long long>(failed), static_cast<unsigned long long>(evicted),
                 static_cast<unsigned long long>(retries))};
}

Proof all_healed(const Script& script) {
  const auto& events = script.events();
  const auto open =
      std::count_if(events.begin(), events.end(), [](const Event& e) { return e.heal_ms < 0; });
  return {open == 0 && !script.failed() && events.size() >= 5,
          open == 0 ? format("all %zu events healed", events.size())
                    : format("%lld of %zu events did not heal", static_cast<long long>(open),
                             events.size())};
}

Proof op_survived_a_kill(const Cast& cast) {
  uint64_t rebuilds = 0;
  for (const Trainer& t : cast.trainers()) rebuilds += t.rebuilds;
  return {rebuilds > 0,
          format("all-reduces in flight were rebuilt, seen %llu times by their callers",
                 static_cast<unsigned long long>(rebuilds))};
}

}  // namespace

std::vector<Proof> proofs(const Cast& cast, const Script& script, const DemoOptions& options) {
  const auto all = finishers(cast);
  return {same_digest(all, options), loss_fell(all), no_op_failed(cast, all),
          op_survived_a_kill(cast), all_healed(script)};
}

}  // namespace rhz::demo
