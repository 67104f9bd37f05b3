// `rhizome bench recovery`: repeats, puts the repetitions together, prints.
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "api/tools/bench_recovery_rep.h"
#include "api/tools/commands.h"
#include "api/tools/temp_folder.h"
#include "api/tools/text.h"
#include "runtime/transport/open.h"

namespace rhz::tools {
namespace {

using Json = nlohmann::ordered_json;

// The fault is aimed by the clock: for each repetition that hit no op there may be so many more.
constexpr uint32_t kTriesPerRep = 5;

struct Totals {
  std::vector<double> gone_ms, detect_ms, usable_ms, op_done_ms, after_usable_ms, bound_ms,
      steady_ms, held, redone;
  uint64_t wrong = 0;
  uint32_t hangs = 0, misses = 0, evictions = 0, reps = 0;

  void add(const RepResult& r) {
    wrong += r.wrong;
    hangs += r.hangs;
    evictions += r.evicted;
    if (r.missed && r.hangs == 0) {
      ++misses;
      return;
    }
    ++reps;
    if (r.missed) return;
    steady_ms.push_back(r.steady_op_ms);
    held.push_back(r.held_share);
    redone.push_back(static_cast<double>(r.redone_bytes));
    op_done_ms.push_back(r.op_done_ms);
    if (!r.evicted) return;
    gone_ms.push_back(r.gone_ms);
    detect_ms.push_back(r.detect_ms);
    usable_ms.push_back(r.usable_ms);
    after_usable_ms.push_back(std::max(0.0, r.op_done_ms - r.usable_ms));
    bound_ms.push_back((1 - r.held_share) * r.steady_op_ms);
  }
};

Json percentiles(const std::vector<double>& values) {
  return {{"p50", percentile(values, 50)},
          {"p99", percentile(values, 99)},
          {"max", percentile(values, 100)}};
}

void print_json(const RecoveryOptions& o, const Totals& t, uint64_t seed) {
  const Json row{{"bench", "recovery"},
                 {"n", o.ranks},
                 {"fault", o.fault},
                 {"bytes", o.bytes},
                 {"reps", t.reps},
                 {"detect_ms", percentiles(t.detect_ms)},
                 {"usable_ms", percentiles(t.usable_ms)},
                 {"op_done_ms", percentiles(t.op_done_ms)},
                 {"steady_op_ms", percentile(t.steady_ms, 50)},
                 {"held_share", percentile(t.held, 50)},
                 {"redone_bytes", static_cast<uint64_t>(percentile(t.redone, 50))},
                 {"wrong", t.wrong},
                 {"hangs", t.hangs},
                 {"op_after_usable_ms", percentiles(t.after_usable_ms)},
                 {"op_after_usable_bound_ms", percentile(t.bound_ms, 50)},
                 {"victim_gone_ms", percentiles(t.gone_ms)},
                 {"evictions", t.evictions},
                 {"misses", t.misses},
                 {"transport", transport_within_host(parse_transport(o.transport).value())},
                 {"dtype", o.reduction.dtype},
                 {"redop", o.reduction.redop},
                 {"rebuild", o.reduction.rebuild},
                 {"huge_pages", o.reduction.huge_pages},
                 {"kill_phase", o.kill_phase},
                 {"suspicion_ms", o.suspicion_ms},
                 {"congestion", congestion_control()},
                 {"seed", seed}};
  std::printf("%s\n", row.dump().c_str());
}

void print_table(const RecoveryOptions& o, const Totals& t, uint64_t seed) {
  std::printf(
      "recovery: %s one of %u ranks in an all-reduce of %s (%s %s, rebuild %s), %u times, "
      "seed %llu\n",
      o.fault.c_str(), o.ranks, bytes_text(o.bytes).c_str(), o.reduction.dtype.c_str(),
      o.reduction.redop.c_str(), o.reduction.rebuild.c_str(), t.reps,
      static_cast<unsigned long long>(seed));
  std::printf("%-34s %10s %10s %10s\n", "ms from the fault, last survivor", "p50", "p99", "max");
  const struct {
    const char* name;
    const std::vector<double>& values;
  } rows[] = {{"the victim's files are closed", t.gone_ms},
              {"detected (sealed)", t.detect_ms},
              {"usable again (installed)", t.usable_ms},
              {"op done", t.op_done_ms},
              {"op done after usable", t.after_usable_ms}};
  for (const auto& row : rows) {
    std::printf("%-34s %10.2f %10.2f %10.2f\n", row.name, percentile(row.values, 50),
                percentile(row.values, 99), percentile(row.values, 100));
  }
  std::printf(
      "steady op of the survivors %.2f ms; held at the seal %.0f %%, (1 - held) x steady "
      "%.2f ms, redone %s (medians)\n",
      percentile(t.steady_ms, 50), 100 * percentile(t.held, 50), percentile(t.bound_ms, 50),
      bytes_text(static_cast<uint64_t>(percentile(t.redone, 50))).c_str());
  std::printf("evictions %u, wrong %llu, hangs %u; %u faults hit no op and were repeated\n",
              t.evictions, static_cast<unsigned long long>(t.wrong), t.hangs, t.misses);
}

}  // namespace

int bench_recovery(const RecoveryOptions& o) {
  const TempFolder folder(o.log_dir);
  if (!folder.good())
    return complain("bench recovery", "cannot make a folder for the decision logs; see --log-dir");
  const uint64_t seed = o.seed ? o.seed : random_u64() >> 16;
  Prng random(seed);
  Totals totals;
  for (uint32_t i = 0; totals.reps < o.reps; ++i) {
    if (i >= o.reps * kTriesPerRep)
      return complain("bench recovery", "the fault keeps missing the op; use larger --bytes");
    if (isatty(STDERR_FILENO)) std::fprintf(stderr, "\rrep %u of %u ", totals.reps + 1, o.reps);
    const RepResult result = RecoveryRep(o, random, folder.file(format("run-%u.log", i))).run();
    if (!result.failure.empty()) {
      return complain("bench recovery",
                      format("%s (repetition %u, seed %llu)", result.failure.c_str(), i + 1,
                             static_cast<unsigned long long>(seed)));
    }
    totals.add(result);
  }
  if (isatty(STDERR_FILENO)) std::fprintf(stderr, "\r\033[K");
  if (o.json)
    print_json(o, totals, seed);
  else
    print_table(o, totals, seed);
  return totals.wrong == 0 && totals.hangs == 0 ? 0 : kFailure;
}

}  // namespace rhz::tools
