// rhizome-explore: everything that can happen to an all-reduce.  --help says how.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>

#include "runtime/base/assert.h"
#include "tests/explore/compare.h"
#include "tests/explore/search.h"
#include "tests/explore/suite.h"

namespace {

using rhz::RebuildMode;
using rhz::explore::Found;
using rhz::explore::Options;

void take_options(CLI::App& app, Options& options) {
  const std::map<std::string, RebuildMode> modes{{"strict", RebuildMode::kStrict},
                                                 {"keep", RebuildMode::kKeep},
                                                 {"include", RebuildMode::kInclude},
                                                 {"fail", RebuildMode::kFail}};
  app.add_option("--peers", options.peers)->check(CLI::Range(1u, rhz::explore::kMaxPeers));
  app.add_option("--chunks", options.chunks)->check(CLI::Range(1u, rhz::explore::kMaxChunks));
  app.add_option("--ops", options.ops, "one after the other")
      ->check(CLI::Range(1u, rhz::explore::kMaxOps));
  app.add_option("--mode", options.mode, "strict, keep, include, fail")
      ->transform(CLI::CheckedTransformer(modes));
  app.add_flag("--retain", options.retain, "results are retained: release rule b instead of a");
  app.add_flag("--bulk", options.bulk,
               "more than 16 KiB: bulk lane, GRANTs, frames of the caller's memory");
  app.add_flag("--in-place", options.in_place, "the result replaces the input");
  app.add_flag("--late-read", options.late_read,
               "such frames are read when they arrive, else when they are sent");
  app.add_flag("--together", options.together,
               "all have begun the first op; else each begins at any moment");
  app.add_option("--crashes", options.crashes, "of peers, at most");
  app.add_option("--suspicions", options.suspicions,
                 "peers that live and are taken for dead, at most");
  app.add_option("--restarts", options.restarts,
                 "of the coordinator, between any two of its actions, at most");
  app.add_option("--faults", options.faults, "of all kinds, at most");
  app.add_option("--halves", options.halves,
                 "frames that land in two halves, with anything between them, at most");
  app.add_option("--most-states", options.most_states, "then the search is cut");
  app.add_option("--most-steps", options.most_steps, "longer ways are cut");
  app.add_flag("!--no-merge", options.merge,
               "histories that differ in order alone are not taken for one");
  app.add_flag("--trace", options.trace, "the way to a violation");
}

// 0: all is well.
int tell(const Options& options, const Found& found, double seconds) {
  const char* how = !found.violation.empty() ? "VIOLATION"
                    : found.complete         ? "ok, searched to the end"
                                             : "ok so far, CUT";
  std::printf(
      "%s: states=%llu steps=%llu ends=%llu outcomes=%zu deepest=%llu %s; %s, seconds=%.1f\n",
      options.text().c_str(), static_cast<unsigned long long>(found.states),
      static_cast<unsigned long long>(found.steps), static_cast<unsigned long long>(found.ends),
      found.outcomes.size(), static_cast<unsigned long long>(found.deepest), how,
      found.numbers.c_str(), seconds);
  if (found.violation.empty()) return 0;
  std::printf("VIOLATION: %s\n%s\n", found.violation.c_str(), found.there.c_str());
  for (const std::string& step : found.way)
    if (options.trace) std::printf("  %s\n", step.c_str());
  return 1;
}

// What the cores reach has to be what the model reaches; that it reaches more is told.
int compare(const Options& options, const Found& found, const std::string& model) {
  const auto reached = rhz::explore::outcomes_of_model(model, options);
  if (!reached.is_ok()) {
    std::printf("  model: %s\n", reached.status().text().c_str());
    return 1;
  }
  const std::set<std::string>& theirs = reached.value();
  size_t strange = 0, common = 0;
  for (const std::string& outcome : found.outcomes) {
    common += theirs.contains(outcome);
    if (theirs.contains(outcome)) continue;
    ++strange;
    std::printf("  NOT IN THE MODEL: %s\n", outcome.c_str());
  }
  std::printf("  model: outcomes=%zu of which reached here=%zu, reached here alone=%zu\n",
              theirs.size(), common, strange);
  return strange > 0;
}

int explore(const Options& options, const std::string& model, bool outcomes, bool to_the_end) {
  const auto begin = std::chrono::steady_clock::now();
  const Found found = rhz::explore::search(options);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  for (const std::string& outcome : found.outcomes)
    if (outcomes) std::printf("outcome: %s\n", outcome.c_str());
  int status = tell(options, found, took.count());
  if (to_the_end && !found.complete) status = 1;
  if (status == 0 && !model.empty() && rhz::explore::model_knows(options))
    status = compare(options, found, model);
  std::fflush(stdout);
  return status;
}

void failed(void*) {
  std::printf("ASSERTION, on this way:\n");
  rhz::explore::print_way();
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Everything that can happen to consecutive all-reduces of a few peers and a coordinator: "
      "docs/testing.md, \"Exploration\".");
  Options options;
  bool outcomes = false;
  std::string model, suite;
  take_options(app, options);
  app.add_flag("--outcomes", outcomes,
               "prints who returned what, each way in which it may end once");
  app.add_option("--model", model, "path of rebuild_model: the outcomes must be among its own");
  app.add_option(
         "--suite", suite,
         "several configurations instead, each to its end: none or one fault (fast), two (deep)")
      ->check(CLI::IsMember({"fast", "deep"}));
  CLI11_PARSE(app, argc, argv);
  rhz::set_assert_hook(failed, nullptr);
  if (suite.empty()) return explore(options, model, outcomes, false);
  int status = 0;
  for (Options each : suite == "fast" ? rhz::explore::fast_suite() : rhz::explore::deep_suite()) {
    each.trace = options.trace;
    each.most_states = options.most_states;
    status |= explore(each, model, outcomes, true);
  }
  return status;
}
