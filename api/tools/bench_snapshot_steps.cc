// `rhizome bench snapshot --pipeline`: what a snapshot costs the step that it is taken beside.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "api/tools/bench.h"
#include "api/tools/commands.h"
#include "api/tools/text.h"
#include "api/tools/trainer_run.h"

namespace rhz::tools {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kPatienceNs = 1'800'000'000'000;
constexpr uint64_t kWarmSteps = 6;  // the vault's buffers are made in the first ones

struct Steps {
  std::vector<double> with_ms, without_ms, waited_ms;  // of the first stage; waited: of all
};

// A snapshot every second step, so that the two kinds lie beside each other in time.
Status run_steps(const StateOptions& o, const std::string& trainer, Steps& steps) {
  TrainerOptions options;
  options.trainer = trainer;
  options.arguments = split(
      format("--snapshot-every 2 --steps %u", o.steps + static_cast<uint32_t>(kWarmSteps)), ' ');
  auto run = TrainerRun::start(options);
  if (!run) return run.status();
  run.value()->pump(
      monotonic_ns() + kPatienceNs,
      [&](uint32_t slot, std::string_view line) {
        if (!line.starts_with("step=") || whole(line, "step") <= kWarmSteps) return;
        const bool beside_one = whole(line, "step") % 2 == 1;  // it began at the end of an even one
        if (beside_one) steps.waited_ms.push_back(number(line, "snapshot_ms"));
        if (slot == 0)
          (beside_one ? steps.with_ms : steps.without_ms).push_back(number(line, "whole_ms"));
      },
      [] { return false; });
  if (run.value()->alive() || run.value()->status() != 0 || steps.with_ms.empty())
    return {Code::kState, "the trainer did not come to its end:" + run.value()->last_words()};
  return Status::ok();
}

}  // namespace

int bench_snapshot_steps(const StateOptions& o) {
  const char* const name = "bench snapshot";
  const auto trainer = find_trainer(o.trainer);
  if (!trainer) return complain(name, trainer.status().text(), kUsage);
  Steps steps;
  if (Status done = run_steps(o, trainer.value(), steps); !done) return complain(name, done.text());
  const double with = percentile(steps.with_ms, 50), without = percentile(steps.without_ms, 50);
  const double more = without > 0 ? with / without - 1 : 0;
  if (o.json) {
    const Json row{{"bench", "snapshot-steps"},
                   {"steps", steps.with_ms.size() + steps.without_ms.size()},
                   {"step_ms", without},
                   {"step_with_snapshot_ms", with},
                   {"more", more},
                   {"waited_median_ms", percentile(steps.waited_ms, 50)},
                   {"waited_max_ms", percentile(steps.waited_ms, 100)}};
    std::printf("%s\n", row.dump().c_str());
    return 0;
  }
  std::printf(
      "a pipeline of 4 stages, %zu steps, every second one beside a snapshot of all stages\n",
      steps.with_ms.size() + steps.without_ms.size());
  std::printf("step beside none %.2f ms, beside one %.2f ms (medians): %+.1f %%\n", without, with,
              100 * more);
  std::printf("a trainer waited for its snapshot %.3f ms (median), %.3f ms (most)\n",
              percentile(steps.waited_ms, 50), percentile(steps.waited_ms, 100));
  return 0;
}

}  // namespace rhz::tools
