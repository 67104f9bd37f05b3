// What came of a run under faults.
#include <cstdio>

#include "api/tools/chaos_run.h"
#include "api/tools/text.h"

namespace rhz::tools {
namespace {

unsigned long long wide(uint64_t value) { return value; }

}  // namespace

void ChaosRun::print_counts(uint32_t faults) const {
  std::string kinds;
  for (const auto& [kind, count] : struck_)
    kinds += format("%s%u %s", kinds.empty() ? "" : ", ", count, std::string(name_of(kind)).c_str());
  std::fprintf(stderr,
               "rhizome chaos: seed %llu, %u peers: %u faults (%s), %u could not strike; epoch %llu; %u restarts of peers, "
               "the coordinator came back %u times\n",
               wide(options_.seed), options_.peers, faults, kinds.c_str(), skipped_, wide(epoch_), restarts_, returns_);
  std::fprintf(stderr, "rhizome chaos: views: %llu changes under faults, where %llu are explained\n", wide(views_.changes()), wide(views_.expected()));
  if (ledger_.ops() > 0)
    std::fprintf(stderr, "rhizome chaos: ledger: %llu ops, %llu lines compared with those of others; the slowest took %.0f ms\n", wide(ledger_.ops()),
                 wide(ledger_.compared()), static_cast<double>(ledger_.slowest_us()) / 1e3);
  if (const Strangers::Counts& strangers = strangers_.counts(); strangers.came > 0)
    std::fprintf(stderr, "rhizome chaos: strangers: %llu came, %llu were turned away; nobody grew by more than %.1f MiB by %llu of them\n", wide(strangers.came),
                 wide(strangers.turned_away), static_cast<double>(most_growth_) / (1 << 20), wide(weighed_));
  if (options_.lan) {
    const Lan::Counts packets = options_.lan->counts();
    std::fprintf(stderr, "rhizome chaos: network: %llu packets carried, %llu lost, %llu answered with a reset, %llu damaged, %llu forged\n",
                 wide(packets.carried), wide(packets.lost), wide(packets.reset), wide(packets.damaged), wide(packets.forged));
  }
}

std::vector<std::string> ChaosRun::missing() const {
  std::vector<std::string> all;
  for (const auto& [name, wanted] : options_.required) {
    uint64_t count = weighed_;
    if (const auto kind = fault_of(name)) count = struck_.contains(*kind) ? struck_.at(*kind) : 0;
    if (count < wanted) all.push_back(format("%s: %llu, where %llu are required", name.c_str(), wide(count), wide(wanted)));
  }
  return all;
}

int ChaosRun::report(int run_status) const {
  uint32_t faults = 0;
  for (const auto& [kind, count] : struck_) faults += count;
  std::fflush(stdout);
  print_counts(faults);
  for (const std::string& finding : findings_) std::fprintf(stderr, "rhizome chaos: FOUND: %s\n", finding.c_str());
  for (const std::string& doubt : doubts_) std::fprintf(stderr, "rhizome chaos: DOUBT: %s\n", doubt.c_str());
  if (findings_.empty() && !doubts_.empty()) {
    std::fprintf(stderr, "rhizome chaos: INCONCLUSIVE: not all of this is the doing of the faults\n");
    return kInconclusive;
  }
  const std::vector<std::string> too_few = missing();
  for (const std::string& few : too_few) std::fprintf(stderr, "rhizome chaos: TOO FEW: %s\n", few.c_str());
  if (findings_.empty() && too_few.empty() && run_status == 0 && faults > 0) {
    std::fprintf(stderr, "rhizome chaos: ok: 0 hangs, 0 false evictions, nobody failed by itself, no decision was lost, all results that were compared equal\n");
    return 0;
  }
  if (findings_.empty() && faults == 0)
    std::fprintf(stderr, "rhizome chaos: no fault struck before the program was done: a longer program, or a smaller --every-s\n");
  std::fprintf(stderr, "rhizome chaos: FAILED (the run ended with status %d)\n", run_status);
  return 1;
}

}  // namespace rhz::tools
