// `rhizome bench recovery --source`: one peer of a pipeline after the other is killed, with shards
// its host's vault too, and what gives it its state back is timed.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "api/tools/bench.h"
#include "api/tools/commands.h"
#include "api/tools/temp_folder.h"
#include "api/tools/text.h"
#include "api/tools/trainer_run.h"
#include "runtime/base/prng.h"

namespace rhz::tools {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kPatienceNs = 120'000'000'000;  // for a peer to come back
constexpr uint64_t kLinesNs = 1'000'000'000;       // for the lines of a step that one has done
constexpr uint64_t kStepsBetween = 4;              // of the victim, at least; beyond a snapshot
constexpr uint32_t kTriesPerRep = 4;   // a death inside an update has no memory to attach to
constexpr uint64_t kMicroBatches = 4;  // of a step

// One source as a run is told to use it.
struct Setting {
  const char* name;
  const char* allowed;  // --sources; the first is the one that is measured
  uint32_t stages, replicas;
  const char* policy;
  bool inner_only;     // the ends of a plain pipeline have no two neighbours
  uint32_t every = 1;  // steps between two snapshots, where it is not said
  bool is(std::string_view other) const { return name == other; }
};
constexpr Setting kSettings[] = {
    {"replica", "replica", 2, 2, "continue", false},
    {"attach", "attach,vault", 4, 1, "replay", false},
    {"vault", "vault", 4, 1, "replay", false},
    // Those that live have snapshots of their own; two of them, so that one is as old as the
    // shards.
    {"shards", "shards,vault", 4, 1, "replay", false, 5},
    {"shadow", "shadow --shadow 1", 4, 1, "replay", false},
    {"average", "average", 4, 1, "replay", true},
    {"disk", "disk", 4, 1, "replay", false},
};

bool goes_on(const Setting& setting) { return setting.policy == std::string_view("continue"); }

const Setting* setting_of(const std::string& name) {
  for (const Setting& setting : kSettings)
    if (setting.is(name)) return &setting;
  return nullptr;
}

uint32_t every_of(const RecoveryOptions& o, const Setting& s) {
  return o.snapshot_every ? o.snapshot_every : s.every;
}

// What became of one kill: moments, 0 for those that have not come.
struct Loss {
  uint32_t victim = 0;
  uint64_t killed_ns = 0, joined_ns = 0, restored_ns = 0, step_ns = 0;
  std::map<uint32_t, uint64_t> seals_ns, installs_ns;  // the first of each survivor
  std::string source;
  uint64_t steps_lost = 0;
  // The survivors' first steps in a view without the victim, and in one with its successor.
  std::map<uint32_t, double> struck_ms, entered_ms;
  uint64_t counted = 0;  // micro-batches of the former
  bool again = false;    // it was begun anew
};

struct Totals {
  std::vector<double> detected_ms, agreed_ms, joined_ms, restored_ms, step_ms, steps_lost, usual_ms;
  // With policy continue.
  std::vector<double> struck_ms, struck_percent, entered_percent, lost_micro_batches;
  uint32_t others = 0;  // that another source served
  uint32_t again = 0;   // steps that were begun anew
};

class SourceBench {
 public:
  SourceBench(const RecoveryOptions& options, const Setting& setting, uint64_t seed)
      : options_(options), setting_(setting), random_(seed), steps_(slots()), epochs_(slots()) {}

  // Why not, or ok.
  Status run(const std::string& trainer);
  const Totals& totals() const { return totals_; }

 private:
  uint32_t slots() const { return setting_.stages * setting_.replicas; }
  void heard(uint32_t slot, std::string_view line);
  void heard_step(uint32_t slot, std::string_view line);
  bool wait(uint64_t until_ns, const std::function<bool()>& wanted);
  Status lose_one();
  void judge();
  void judge_steps();

  const RecoveryOptions& options_;
  const Setting& setting_;
  Prng random_;
  const TempFolder folder_;  // for checkpoints; outlives the run
  std::unique_ptr<TrainerRun> run_;
  std::vector<uint64_t> steps_;   // done, by slot
  std::vector<uint64_t> epochs_;  // of the newest step, by slot
  Loss loss_;
  Totals totals_;
};

void SourceBench::heard_step(uint32_t slot, std::string_view line) {
  const uint64_t epoch = whole(line, "epoch");
  const bool new_view = epoch != std::exchange(epochs_[slot], epoch);
  const double ms = number(line, "whole_ms");
  steps_[slot] = whole(line, "step");
  if (loss_.killed_ns == 0) {
    if (whole(line, "retries") == 0) totals_.usual_ms.push_back(ms);
    return;
  }
  if (slot == loss_.victim || !new_view) return;
  if (!loss_.struck_ms.emplace(slot, ms).second) {
    loss_.entered_ms.emplace(slot, ms);
    return;
  }
  loss_.counted = whole(line, "counted");
  loss_.again = loss_.again || whole(line, "retries") > 0;
}

void SourceBench::heard(uint32_t slot, std::string_view line) {
  const uint64_t at = whole(line, "t_us") * 1000;
  if (line.starts_with("step=")) heard_step(slot, line);
  if (loss_.killed_ns == 0 || at < loss_.killed_ns) return;
  const bool victim = slot == loss_.victim;
  // Later ones are those of its successor's view.
  if (!victim && field(line, "event") == "seal" && !loss_.installs_ns.contains(slot))
    loss_.seals_ns.emplace(slot, at);
  if (!victim && field(line, "event") == "install") loss_.installs_ns.emplace(slot, at);
  if (victim && line.starts_with("joined ")) loss_.joined_ns = at;
  if (line.starts_with("went_back ")) loss_.restored_ns = std::max(loss_.restored_ns, at);
  if (victim && line.starts_with("recovered ")) {
    loss_.restored_ns = std::max(loss_.restored_ns, at);
    loss_.source = field(line, "source");
    loss_.steps_lost = whole(line, "steps_lost");
  }
  if (victim && line.starts_with("step=") && !loss_.source.empty() && loss_.step_ns == 0)
    loss_.step_ns = at;
}

bool SourceBench::wait(uint64_t until_ns, const std::function<bool()>& wanted) {
  run_->pump(
      until_ns, [this](uint32_t slot, std::string_view line) { heard(slot, line); }, wanted);
  return wanted();
}

// The kill comes some way into the step that the victim is in.
Status SourceBench::lose_one() {
  const uint32_t first = setting_.inner_only ? 1 : 0;
  loss_ = {};
  loss_.victim = first + static_cast<uint32_t>(random_.below(slots() - 2 * first));
  const uint64_t target = steps_[loss_.victim] + kStepsBetween + every_of(options_, setting_);
  const uint64_t patience = monotonic_ns() + kPatienceNs;
  const bool there =
      wait(patience, [&] { return steps_[loss_.victim] >= target && run_->may_lose_host(); });
  const double step_ns = 1e6 * percentile(totals_.usual_ms, 50);
  if (there)
    wait(monotonic_ns() + static_cast<uint64_t>(random_.unit() * step_ns), [] { return false; });
  loss_.killed_ns = monotonic_ns();
  if (!there || !run_->kill_host(loss_.victim))
    return {Code::kTimeout, "the run does not get on:" + run_->last_words()};
  if (!wait(monotonic_ns() + kPatienceNs, [&] { return loss_.step_ns != 0; }))
    return {Code::kTimeout,
            format("slot %u did not come back:", loss_.victim) + run_->last_words()};
  // What the others say of that step may come behind the victim's line.
  if (goes_on(setting_))
    wait(monotonic_ns() + kLinesNs, [&] { return loss_.entered_ms.size() + 1 == slots(); });
  return setting_.is("shards") ? run_->replace_host(loss_.victim) : Status::ok();
}

double last_of(const std::map<uint32_t, uint64_t>& moments) {
  uint64_t last = 0;
  for (const auto& [slot, at] : moments) last = std::max(last, at);
  return static_cast<double>(last);
}

void SourceBench::judge() {
  const bool copy = setting_.is("average") && loss_.source == "copy";
  if (loss_.source != setting_.name && !copy) {
    ++totals_.others;
    return;
  }
  auto since = [&](double at) { return (at - static_cast<double>(loss_.killed_ns)) / 1e6; };
  totals_.agreed_ms.push_back(since(last_of(loss_.installs_ns)));
  // Sealed and installed within one turn of a loop leaves no line of the seal.
  for (const auto& [slot, at] : loss_.installs_ns) loss_.seals_ns.emplace(slot, at);
  totals_.detected_ms.push_back(since(last_of(loss_.seals_ns)));
  totals_.joined_ms.push_back(since(static_cast<double>(loss_.joined_ns)));
  totals_.restored_ms.push_back(since(static_cast<double>(loss_.restored_ns)));
  totals_.step_ms.push_back(since(static_cast<double>(loss_.step_ns)));
  totals_.steps_lost.push_back(static_cast<double>(loss_.steps_lost));
  if (goes_on(setting_)) judge_steps();
}

double most_of(const std::map<uint32_t, double>& values) {
  double most = 0;
  for (const auto& [slot, value] : values) most = std::max(most, value);
  return most;
}

// Death and entry within one step of somebody's leave one line for both: then there is nothing to
// compare.
void SourceBench::judge_steps() {
  if (loss_.entered_ms.size() + 1 != slots()) return;
  const double usual = percentile(totals_.usual_ms, 50), struck = most_of(loss_.struck_ms);
  auto more = [&](double ms) { return 100 * (ms / usual - 1); };
  totals_.again += loss_.again;
  totals_.struck_ms.push_back(struck);
  totals_.struck_percent.push_back(more(struck));
  totals_.entered_percent.push_back(more(most_of(loss_.entered_ms)));
  totals_.lost_micro_batches.push_back(static_cast<double>(kMicroBatches - loss_.counted));
}

Status SourceBench::run(const std::string& trainer) {
  TrainerOptions o;
  o.trainer = trainer;
  o.stages = setting_.stages;
  o.replicas = setting_.replicas;
  o.log_events = true;
  o.shards = setting_.is("shards");
  const std::string every = std::to_string(every_of(options_, setting_));
  if (!folder_.good()) return {Code::kIo, "cannot make a folder for temporary files"};
  o.arguments =
      split(format("--sources %s --policy %s --snapshot-every %s --micro-batches %u --batch %u "
                   "--steps 1000000000",
                   setting_.allowed, setting_.policy, every.c_str(),
                   static_cast<uint32_t>(kMicroBatches), options_.batch),
            ' ');
  auto add = [&](const std::vector<std::string>& more) {
    o.arguments.insert(o.arguments.end(), more.begin(), more.end());
  };
  if (o.shards) add({"--protect-every", every});
  if (setting_.is("disk"))
    add({"--checkpoint-every", every, "--checkpoint-folder", folder_.file("checkpoints")});
  auto started = TrainerRun::start(o);
  if (!started) return started.status();
  run_ = std::move(started).value();
  for (uint32_t i = 0; totals_.step_ms.size() < options_.reps; ++i) {
    if (i >= options_.reps * kTriesPerRep)
      return {Code::kState, "other sources serve most of the time"};
    if (isatty(STDERR_FILENO)) std::fprintf(stderr, "\rkill %u of %u ", i + 1, options_.reps);
    if (Status lost = lose_one(); !lost) return lost;
    judge();
  }
  if (isatty(STDERR_FILENO)) std::fprintf(stderr, "\r\033[K");
  return Status::ok();
}

struct NamedRow {
  const char *name, *key;
  const std::vector<double>& values;
};
std::vector<NamedRow> rows_of(const Setting& s, const Totals& t) {
  std::vector<NamedRow> rows{{"detected (sealed)", "detect_ms", t.detected_ms},
                             {"view agreed (installed)", "agreed_ms", t.agreed_ms},
                             {"usable again (its successor joined)", "usable_ms", t.joined_ms},
                             {"state restored", "restored_ms", t.restored_ms},
                             {"first step done by all", "first_step_ms", t.step_ms},
                             {"steps lost", "steps_lost", t.steps_lost}};
  if (!goes_on(s)) return rows;
  rows.push_back({"the step with the death, ms", "struck_step_ms", t.struck_ms});
  rows.push_back({"  against the usual one, %", "struck_step_percent", t.struck_percent});
  rows.push_back({"  micro-batches lost, of 4", "lost_micro_batches", t.lost_micro_batches});
  rows.push_back(
      {"the step of its successor's entry, %", "entered_step_percent", t.entered_percent});
  return rows;
}

void print(const RecoveryOptions& o, const Setting& s, const Totals& t, uint64_t seed) {
  if (o.json) {
    Json row{{"bench", "recovery"},
             {"source", s.name},
             {"stages", s.stages},
             {"replicas", s.replicas},
             {"policy", s.policy},
             {"reps", t.step_ms.size()},
             {"snapshot_every", every_of(o, s)},
             {"usual_step_ms", percentile(t.usual_ms, 50)},
             {"other_source", t.others},
             {"steps_made_again", t.again},
             {"batch", o.batch},
             {"seed", seed}};
    for (const NamedRow& r : rows_of(s, t))
      row[r.key] = {{"p50", percentile(r.values, 50)},
                    {"p99", percentile(r.values, 99)},
                    {"max", percentile(r.values, 100)}};
    std::printf("%s\n", row.dump().c_str());
    return;
  }
  std::printf(
      "recovery from %s: one of %u x %u peers of a pipeline killed%s, %zu times, seed %llu\n",
      s.name, s.stages, s.replicas, s.is("shards") ? " with the vault of its host" : "",
      t.step_ms.size(), static_cast<unsigned long long>(seed));
  std::printf("%-38s %10s %10s %10s\n", "ms from the kill", "p50", "p99", "max");
  for (const NamedRow& r : rows_of(s, t))
    std::printf("%-38s %10.2f %10.2f %10.2f\n", r.name, percentile(r.values, 50),
                percentile(r.values, 99), percentile(r.values, 100));
  std::printf(
      "usual step %.2f ms; the start of a new process is in the times from \"usable\" on; "
      "%u kills were served by another source and are not in the table\n",
      percentile(t.usual_ms, 50), t.others);
  if (goes_on(s))
    std::printf("policy continue: %zu steps with a death compared, %u of them were begun anew\n",
                t.struck_ms.size(), t.again);
}

}  // namespace

int bench_source(const RecoveryOptions& o) {
  const char* const name = "bench recovery";
  const Setting* const setting = setting_of(o.source);
  if (!setting) {
    return complain(name,
                    "the trainer takes its state from no \"" + o.source +
                        "\"; there are replica, attach, vault, shards, shadow, average, disk",
                    kUsage);
  }
  const auto trainer = find_trainer(o.trainer);
  if (!trainer) return complain(name, trainer.status().text(), kUsage);
  const uint64_t seed = o.seed ? o.seed : random_u64() >> 16;
  SourceBench bench(o, *setting, seed);
  if (Status done = bench.run(trainer.value()); !done) return complain(name, done.text());
  print(o, *setting, bench.totals(), seed);
  return 0;
}

}  // namespace rhz::tools
