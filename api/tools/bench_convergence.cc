// `rhizome bench convergence`: the same training with the same failures, once for each way to get a
// lost stage back.
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "api/tools/bench.h"
#include "api/tools/commands.h"
#include "api/tools/temp_folder.h"
#include "api/tools/text.h"
#include "api/tools/trainer_run.h"
#include "runtime/base/prng.h"

namespace rhz::tools {
namespace {

constexpr uint64_t kPatienceNs = 600'000'000'000;  // for one run
constexpr uint32_t kQuietSteps =
    10;  // at the start and at the end, and between two failures at least a few
constexpr uint32_t kLeastBetween = 3;

// Before which step which stage dies: of a seed, whatever the method.  Stages at the ends are
// spared: most of the methods have nothing for them.
std::string deaths_of(const ConvergenceOptions& o, uint64_t seed) {
  Prng random(seed * 7919 + 1);
  std::vector<uint32_t> steps;
  std::string deaths;
  const uint32_t room = o.steps - 2 * kQuietSteps;
  for (uint32_t tries = 0; steps.size() < o.failures && tries < 1000; ++tries) {
    const auto step = kQuietSteps + static_cast<uint32_t>(random.below(room));
    const bool near = std::any_of(steps.begin(), steps.end(), [&](uint32_t other) {
      return std::max(step, other) - std::min(step, other) < kLeastBetween;
    });
    if (near) continue;
    steps.push_back(step);
    const auto slot = 1 + static_cast<uint32_t>(random.below(o.stages - 2));
    deaths += format("%s%u:%u", deaths.empty() ? "" : ",", step, slot);
  }
  return deaths;
}

std::vector<std::string> arguments_of(const ConvergenceOptions& o, const Method& m, uint64_t seed,
                                      const std::string& folder) {
  std::string text = format(
      "--steps %u --batch %u --context %u --layers %u --width %u --micro-batches %u --lr %g "
      "--seed %llu --policy replay",
      o.steps, o.batch, o.context, o.layers, o.width, o.micro_batches, o.learning_rate,
      static_cast<unsigned long long>(seed));
  if (m.arguments[0] != '\0') text += std::string(" ") + m.arguments;
  if (m.fails && o.failures > 0) text += " --kill-at " + deaths_of(o, seed);
  std::vector<std::string> arguments = split(text, ' ');
  if (m.disk)
    arguments.insert(arguments.end(), {"--checkpoint-every", std::to_string(o.checkpoint_every),
                                       "--checkpoint-folder", folder});
  return arguments;
}

ConvergenceRun run_once(const ConvergenceOptions& o, const std::string& trainer, const Method& m,
                        uint64_t seed) {
  ConvergenceRun run;
  run.method = &m;
  run.seed = seed;
  TrainerOptions options;
  options.trainer = trainer;
  options.stages = o.stages;
  options.shards = m.shards;
  const TempFolder folder;
  if (!folder.good()) {
    run.failure = "cannot make a folder for temporary files";
    return run;
  }
  options.arguments = arguments_of(o, m, seed, folder.file("checkpoints"));
  auto started = TrainerRun::start(options);
  if (!started) {
    run.failure = started.status().text();
    return run;
  }
  double first_us = 0;
  // The first stage never dies, and says every step.
  started.value()->pump(
      monotonic_ns() + kPatienceNs,
      [&](uint32_t slot, std::string_view line) {
        run.recoveries += line.starts_with("recovered ");
        if (slot != 0 || !line.starts_with("step=")) return;
        const double at = number(line, "t_us");
        if (run.samples.empty()) first_us = at - 1e3 * number(line, "step_ms");
        run.samples.push_back({whole(line, "step"), (at - first_us) / 1e6, number(line, "loss")});
      },
      [] { return false; });
  if (started.value()->alive())
    run.failure = "it did not end in time";
  else if (started.value()->status() != 0)
    run.failure =
        format("exit status %d:", started.value()->status()) + started.value()->last_words();
  return run;
}

}  // namespace

const std::vector<Method>& convergence_methods() {
  static const std::vector<Method> all = {
      {"no-fault", "", false},
      {"vault", "--sources vault --snapshot-every 1", true, false, true},
      {"shards", "--sources shards,vault --snapshot-every 5 --protect-every 5", true, false, false,
       true},
      {"shadow", "--sources shadow --shadow 1", true, false, true},
      {"checkfree", "--sources average"},
      {"checkfree+", "--sources average --order swapped"},
      {"mean", "--sources average --weighting mean"},
      {"copy", "--sources average --substitute copy"},
      {"random", "--sources average --substitute random"},
      {"checkpoint", "--sources disk", true, true},
  };
  return all;
}

int bench_convergence(const ConvergenceOptions& o) {
  const char* const name = "bench convergence";
  const auto trainer = find_trainer(o.trainer);
  if (!trainer) return complain(name, trainer.status().text(), kUsage);
  std::vector<ConvergenceRun> runs;
  for (uint64_t seed = o.seed; seed < o.seed + o.seeds; ++seed) {
    for (const Method& method : convergence_methods()) {
      const bool wanted = o.methods.empty() || std::find(o.methods.begin(), o.methods.end(),
                                                         method.name) != o.methods.end();
      if (!wanted) continue;
      if (isatty(STDERR_FILENO))
        std::fprintf(stderr, "\r\033[Kseed %llu, %s ", static_cast<unsigned long long>(seed),
                     method.name);
      runs.push_back(run_once(o, trainer.value(), method, seed));
    }
  }
  if (isatty(STDERR_FILENO)) std::fprintf(stderr, "\r\033[K");
  if (!report_convergence(o, runs)) return complain(name, "cannot write " + o.svg);
  const bool all_ended = std::all_of(runs.begin(), runs.end(),
                                     [](const ConvergenceRun& run) { return run.failure.empty(); });
  return all_ended ? 0 : kFailure;
}

}  // namespace rhz::tools
