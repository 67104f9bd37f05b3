#include "tests/sim/shrink.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "tests/sim/cluster.h"
#include "tests/sim/trial.h"

namespace rhz::sim {
namespace {

using Blows = std::vector<std::pair<Fault, uint32_t>>;

// "O5" of "O5: not over …", or the text of an assertion.
std::string kind_of(const Verdict& verdict) {
  return verdict.oracle ? verdict.text.substr(0, verdict.text.find(':')) : verdict.text;
}

class Shrinker {
 public:
  Shrinker(Config config, std::string kind) : best_(std::move(config)), kind_(std::move(kind)) {}

  // Takes the change when the run still fails in the same way.
  template <class Change>
  bool attempt(Change change) {
    Config next = best_;
    change(next);
    ++runs_;
    if (kind_of(trial([&] { return Cluster(next).run().violation; })) != kind_) return false;
    best_ = std::move(next);
    return true;
  }

  void kinds() {
    for (size_t k = 0; k < kFaults; ++k)
      if (best_.per_second[k] > 0) attempt([&](Config& c) { c.per_second[k] = 0; });
    if (best_.append_crash > 0) attempt([](Config& c) { c.append_crash = 0; });
    if (best_.late_break) attempt([](Config& c) { c.late_break = false; });
    if (best_.core_only) attempt([](Config& c) { c.core_only = false; });
  }
  void sizes() {
    while (best_.run.world > 1 && attempt([](Config& c) { --c.run.world; })) {
    }
    while (best_.processes > best_.run.world && attempt([](Config& c) { --c.processes; })) {
    }
    while (best_.ops_per_step > 1 && attempt([](Config& c) { --c.ops_per_step; })) {
    }
    for (bool Config::*part : {&Config::groups, &Config::bulk_sync, &Config::big_state, &Config::ahead})
      if (best_.*part) attempt([&](Config& c) { c.*part = false; });
    while (best_.letters > 0 && attempt([](Config& c) { c.letters /= 2; })) {
    }
    for (double Config::*share : {&Config::bulk, &Config::in_place, &Config::odd, &Config::hasty, &Config::late, &Config::early, &Config::spike,
                                  &Config::others, &Config::include, &Config::varying, &Config::cpu_us})
      if (best_.*share > 0) attempt([&](Config& c) { c.*share = 0; });
  }
  // Halves, then quarters, … then one by one.
  void blows() {
    Blows left = struck();
    for (size_t piece = std::max<size_t>(left.size() / 2, 1); !left.empty(); piece /= 2) {
      for (size_t at = 0; at < left.size();) {
        const size_t end = std::min(at + piece, left.size());
        const bool gone = attempt([&](Config& c) {
          c.spared.insert(left.begin() + static_cast<long>(at),
                          left.begin() + static_cast<long>(end));
        });
        if (gone)
          left.erase(left.begin() + static_cast<long>(at), left.begin() + static_cast<long>(end));
        else
          at = end;
      }
      if (piece == 1) break;
    }
  }
  const Config& best() const { return best_; }
  void report() {
    const Outcome outcome = kind_.starts_with("rhizome:") ? Outcome{} : Cluster(best_).run();
    std::printf("SHRUNK after %u runs: %s\n  %s\n", runs_, outcome.violation.c_str(),
                best_.text().c_str());
    std::printf("  blows:");
    for (auto [fault, number] : outcome.blows) std::printf(" %s#%u", fault_name(fault), number);
    std::printf("\n");
  }

 private:
  // What fell, told by the run itself, which may not live to return it.
  Blows struck() {
    Blows blows;
    const Verdict verdict = trial([this] {
      std::string text = "=";
      for (auto [fault, number] : Cluster(best_).run().blows)
        text += " " + std::to_string(static_cast<int>(fault)) + " " + std::to_string(number);
      return text;
    });
    std::istringstream words(verdict.text.starts_with("=") ? verdict.text.substr(1) : "");
    for (int fault = 0, number = 0; words >> fault >> number;)
      blows.emplace_back(static_cast<Fault>(fault), static_cast<uint32_t>(number));
    return blows;
  }

  Config best_;
  const std::string kind_;
  uint32_t runs_ = 0;
};

}  // namespace

std::optional<Config> shrink(Config config) {
  const Verdict verdict = trial([&] { return Cluster(config).run().violation; });
  if (verdict.text.empty()) return std::nullopt;
  Shrinker shrinker(std::move(config), kind_of(verdict));
  shrinker.kinds();
  shrinker.sizes();
  shrinker.blows();
  shrinker.kinds();
  shrinker.report();
  return shrinker.best();
}

}  // namespace rhz::sim
