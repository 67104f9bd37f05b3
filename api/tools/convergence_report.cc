#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "api/tools/convergence.h"
#include "api/tools/line_plot.h"
#include "api/tools/text.h"

namespace rhz::tools {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kOfItsSteps = 0.8;  // after which the loss without failures is the one to reach
constexpr size_t kMostPoints = 200;  // of a line of the plot

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

// When the loss was first reached.
struct Reached {
  uint64_t steps = 0;  // that were made until then
  double seconds = 0;
};
std::optional<Reached> reached(const ConvergenceRun& run, double loss) {
  const std::vector<double> mean = smoothed(run);
  for (size_t i = kSmoothed - 1; i < mean.size(); ++i)
    if (mean[i] <= loss) return Reached{i + 1, run.samples[i].seconds};
  return std::nullopt;
}

double final_loss(const ConvergenceRun& run) {
  const std::vector<double> mean = smoothed(run);
  return mean.empty() ? 0 : mean.back();
}

double loss_to_reach(const ConvergenceOptions& o, const std::vector<ConvergenceRun>& runs) {
  if (o.loss > 0) return o.loss;
  std::vector<double> losses;
  for (const ConvergenceRun& run : runs) {
    if (run.method->fails || run.samples.empty()) continue;
    const auto at = static_cast<size_t>(kOfItsSteps * static_cast<double>(run.samples.size()));
    losses.push_back(smoothed(run)[std::min(at, run.samples.size() - 1)]);
  }
  return mean_of(losses);
}

// One method, over all seeds.
struct Summary {
  const Method* method;
  std::vector<double> finals, seconds, steps, to_seconds, to_steps;
  uint32_t runs = 0, recoveries = 0;
};
std::vector<Summary> summaries(const std::vector<ConvergenceRun>& runs, double loss) {
  std::vector<Summary> all;
  for (const Method& method : convergence_methods()) {
    Summary s{&method, {}, {}, {}, {}, {}, 0, 0};
    for (const ConvergenceRun& run : runs) {
      if (run.method != &method) continue;
      ++s.runs;
      if (!run.failure.empty() || run.samples.empty()) continue;
      s.recoveries += run.recoveries;
      s.finals.push_back(final_loss(run));
      s.seconds.push_back(run.samples.back().seconds);
      s.steps.push_back(static_cast<double>(run.samples.size()));
      if (const auto to = reached(run, loss)) {
        s.to_seconds.push_back(to->seconds);
        s.to_steps.push_back(static_cast<double>(to->steps));
      }
    }
    if (s.runs > 0) all.push_back(s);
  }
  return all;
}

// Where one that is not exact did better than one that is, with the same seed.
std::vector<std::string> rivals_that_win(const std::vector<ConvergenceRun>& runs, double loss) {
  std::vector<std::string> lines;
  for (const ConvergenceRun& ours : runs) {
    if (!ours.method->exact_now || !ours.failure.empty()) continue;
    for (const ConvergenceRun& theirs : runs) {
      const Method& m = *theirs.method;
      if (m.exact_now || !m.fails || theirs.seed != ours.seed || !theirs.failure.empty()) continue;
      const auto seed = static_cast<unsigned long long>(theirs.seed);
      const auto a = reached(ours, loss), b = reached(theirs, loss);
      if (b && (!a || b->seconds < a->seconds))
        lines.push_back(format("seed %llu: %s reaches the loss in %.1f s, %s %s", seed, m.name,
                               b->seconds, ours.method->name,
                               a ? format("in %.1f s", a->seconds).c_str() : "never"));
      if (final_loss(theirs) < final_loss(ours))
        lines.push_back(format("seed %llu: %s ends with loss %.4f, %s with %.4f", seed, m.name,
                               final_loss(theirs), ours.method->name, final_loss(ours)));
    }
  }
  return lines;
}

void print_table(const ConvergenceOptions& o, const std::vector<ConvergenceRun>& runs,
                 double loss) {
  std::printf(
      "convergence: %u stages, %u steps, %u failures of inner stages, seeds %llu to %llu; loss: "
      "mean of the last %u steps\n",
      o.stages, o.steps, o.failures, static_cast<unsigned long long>(o.seed),
      static_cast<unsigned long long>(o.seed + o.seeds - 1), kSmoothed);
  std::printf("%-12s %5s %9s %19s %8s %9s %11s %11s %8s\n", "method", "runs", "end loss",
              "(least to most)", "steps", "seconds", "steps to", "seconds to", "reached");
  for (const Summary& s : summaries(runs, loss)) {
    std::printf("%-12s %5u %9.4f   %7.4f to %.4f %8.0f %9.2f", s.method->name, s.runs,
                mean_of(s.finals), percentile(s.finals, 0), percentile(s.finals, 100),
                mean_of(s.steps), mean_of(s.seconds));
    if (s.to_steps.empty())
      std::printf(" %11s %11s %8s\n", "-", "-", "none");
    else
      std::printf(" %11.0f %11.2f %3zu of %u\n", mean_of(s.to_steps), mean_of(s.to_seconds),
                  s.to_steps.size(), s.runs);
  }
  std::printf("the loss to reach: %.4f.  steps: all that were made, those made again too\n", loss);
  const auto wins = rivals_that_win(runs, loss);
  std::printf(
      "where one that is approximate, or goes back far, does better than an exact source: %s\n",
      wins.empty() ? "nowhere" : "");
  for (const std::string& line : wins) std::printf("  %s\n", line.c_str());
  for (const ConvergenceRun& run : runs)
    if (!run.failure.empty())
      std::printf("FAILED %s, seed %llu: %s\n", run.method->name,
                  static_cast<unsigned long long>(run.seed), run.failure.c_str());
}

void print_json(const ConvergenceOptions& o, const std::vector<ConvergenceRun>& runs, double loss) {
  Json all{{"bench", "convergence"},
           {"stages", o.stages},
           {"steps", o.steps},
           {"failures", o.failures},
           {"seed", o.seed},
           {"seeds", o.seeds},
           {"batch", o.batch},
           {"context", o.context},
           {"layers", o.layers},
           {"width", o.width},
           {"micro_batches", o.micro_batches},
           {"learning_rate", o.learning_rate},
           {"checkpoint_every", o.checkpoint_every},
           {"loss_to_reach", loss},
           {"smoothed", kSmoothed},
           {"runs", Json::array()},
           {"rivals_that_win", rivals_that_win(runs, loss)}};
  for (const ConvergenceRun& run : runs) {
    Json row{{"method", run.method->name}, {"seed", run.seed}, {"recoveries", run.recoveries}};
    if (!run.failure.empty()) row["failure"] = run.failure;
    if (!run.samples.empty()) {
      row["end_loss"] = final_loss(run);
      row["steps_made"] = run.samples.size();
      row["seconds"] = run.samples.back().seconds;
    }
    const auto to = reached(run, loss);
    row["steps_to_loss"] = to ? Json(to->steps) : Json();
    row["seconds_to_loss"] = to ? Json(to->seconds) : Json();
    for (const Sample& sample : run.samples)
      row["samples"].push_back({sample.step, sample.seconds, sample.loss});
    all["runs"].push_back(std::move(row));
  }
  std::printf("%s\n", all.dump().c_str());
}

// The mean over the seeds.  By step: as it was when the step was made for the last time.  By time:
// of those runs that go on then.
PlotLine line_of(const std::vector<ConvergenceRun>& runs, const Method& method, bool by_time) {
  PlotLine line{method.name, {}};
  std::map<uint64_t, std::vector<double>> cells;
  double longest = 0;
  for (const ConvergenceRun& run : runs)
    if (run.method == &method && !run.samples.empty())
      longest = std::max(longest, run.samples.back().seconds);
  const double cell = longest / kMostPoints;
  for (const ConvergenceRun& run : runs) {
    if (run.method != &method) continue;
    const std::vector<double> mean = smoothed(run);
    std::map<uint64_t, double> own;
    for (size_t i = kSmoothed - 1; i < mean.size(); ++i)
      own[by_time ? static_cast<uint64_t>(run.samples[i].seconds / cell) : run.samples[i].step] =
          mean[i];
    for (const auto& [at, value] : own) cells[at].push_back(value);
  }
  for (const auto& [at, values] : cells)
    line.points.emplace_back(static_cast<double>(at) * (by_time ? cell : 1), mean_of(values));
  return line;
}

}  // namespace

std::vector<double> smoothed(const ConvergenceRun& run) {
  std::map<uint64_t, double> losses;  // as each step was made last
  std::vector<double> out;
  for (const Sample& sample : run.samples) {
    losses.erase(losses.lower_bound(sample.step), losses.end());  // the run has gone back
    losses[sample.step] = sample.loss;
    double sum = 0;
    uint32_t count = 0;
    for (auto at = losses.rbegin(); at != losses.rend() && count < kSmoothed; ++at, ++count)
      sum += at->second;
    out.push_back(sum / count);
  }
  return out;
}

bool report_convergence(const ConvergenceOptions& o, const std::vector<ConvergenceRun>& runs) {
  const double loss = loss_to_reach(o, runs);
  if (o.json)
    print_json(o, runs, loss);
  else
    print_table(o, runs, loss);
  if (o.svg.empty()) return true;
  std::vector<PlotPanel> panels = {{"training loss, mean over the seeds", "step", {}},
                                   {"training loss, mean over the seeds", "seconds", {}}};
  for (const Method& method : convergence_methods()) {
    const bool any = std::any_of(runs.begin(), runs.end(), [&](const ConvergenceRun& run) {
      return run.method == &method && run.samples.size() >= kSmoothed;
    });
    if (!any) continue;
    panels[0].lines.push_back(line_of(runs, method, false));
    panels[1].lines.push_back(line_of(runs, method, true));
  }
  return write_plot(o.svg,
                    format("%u failures in %u steps of %u stages, %u seeds", o.failures, o.steps,
                           o.stages, o.seeds),
                    panels);
}

}  // namespace rhz::tools
