// rhizome-explore: everything that can happen to an all-reduce.  --help says how.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>

#include "runtime/base/assert.h"
#include "tests/explore/search.h"

namespace {

using rhz::RebuildMode;
using rhz::explore::Found;
using rhz::explore::Options;

void take_options(CLI::App& app, Options& options) {
  const std::map<std::string, RebuildMode> modes{
      {"strict", RebuildMode::kStrict}, {"keep", RebuildMode::kKeep}, {"fail", RebuildMode::kFail}};
  app.add_option("--peers", options.peers)->check(CLI::Range(1u, rhz::explore::kMaxPeers));
  app.add_option("--chunks", options.chunks)->check(CLI::Range(1u, rhz::explore::kMaxChunks));
  app.add_option("--ops", options.ops, "one after the other")->check(CLI::Range(1u, rhz::explore::kMaxOps));
  app.add_option("--mode", options.mode, "strict, keep, fail")->transform(CLI::CheckedTransformer(modes));
  app.add_flag("--retain", options.retain, "results are retained: release rule b instead of a");
  app.add_flag("--bulk", options.bulk, "more than 16 KiB: bulk lane, GRANTs, frames of the caller's memory");
  app.add_flag("--in-place", options.in_place, "the result replaces the input");
  app.add_flag("--late-read", options.late_read, "such frames are read when they arrive, else when they are sent");
  app.add_flag("--together", options.together, "all have begun the first op; else each begins at any moment");
  app.add_option("--crashes", options.crashes, "of peers, at most");
  app.add_option("--suspicions", options.suspicions, "peers that live and are taken for dead, at most");
  app.add_option("--restarts", options.restarts, "of the coordinator, between any two of its actions, at most");
  app.add_option("--faults", options.faults, "of all kinds, at most");
  app.add_option("--halves", options.halves, "frames that land in two halves, with anything between them, at most");
  app.add_option("--most-states", options.most_states, "then the search is cut");
  app.add_option("--most-steps", options.most_steps, "longer ways are cut");
  app.add_flag("!--no-merge", options.merge, "histories that differ in order alone are not taken for one");
  app.add_flag("--trace", options.trace, "the way to a violation");
}

int tell(const Options& options, const Found& found, double seconds) {
  std::printf("%s: states=%llu steps=%llu ends=%llu outcomes=%zu deepest=%llu %s seconds=%.1f\n", options.text().c_str(),
              static_cast<unsigned long long>(found.states), static_cast<unsigned long long>(found.steps),
              static_cast<unsigned long long>(found.ends), found.outcomes.size(),
              static_cast<unsigned long long>(found.deepest),
              !found.violation.empty() ? "VIOLATION" : found.complete ? "ok, searched to the end" : "ok so far, CUT", seconds);
  std::printf("  %s\n", found.numbers.c_str());
  if (found.violation.empty()) return 0;
  std::printf("VIOLATION: %s\n%s\n", found.violation.c_str(), found.there.c_str());
  if (options.trace)
    for (const std::string& step : found.way) std::printf("  %s\n", step.c_str());
  return 1;
}

void failed(void*) {
  std::printf("ASSERTION, on this way:\n");
  rhz::explore::print_way();
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Everything that can happen to consecutive all-reduces of a few peers and a coordinator: docs/testing.md, \"Exploration\".");
  Options options;
  bool outcomes = false;
  take_options(app, options);
  app.add_flag("--outcomes", outcomes, "prints who returned what, each way in which it may end once");
  CLI11_PARSE(app, argc, argv);
  rhz::set_assert_hook(failed, nullptr);
  const auto begin = std::chrono::steady_clock::now();
  const Found found = rhz::explore::search(options);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  for (const std::string& outcome : found.outcomes)
    if (outcomes) std::printf("outcome: %s\n", outcome.c_str());
  return tell(options, found, took.count());
}
