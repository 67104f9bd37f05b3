// The cost model: what it takes at the extremes, and that it is a model of the schedules.
#include "collectives/schedule/cost.h"

#include <gtest/gtest.h>

#include <cmath>

#include "collectives/schedule/choose.h"
#include "runtime/base/prng.h"

namespace rhz {
namespace {

constexpr uint64_t kMiB = 1u << 20;

// Latency in microseconds, bandwidth in MB/s.
LinkCost link(uint64_t us, uint64_t mb_per_s) {
  return {us * 1000, uint64_t{1024} * 1'000'000 / mb_per_s};
}
const LinkCost kShared = link(3, 8000), kFast = link(20, 10'000), kGigabit = link(100, 119), kFar = link(20'000, 119);

struct Ranks {
  Ranks(std::vector<uint64_t> hosts, LinkCost local, LinkCost remote) {
    config.world = static_cast<uint32_t>(hosts.size());
    for (uint32_t r = 0; r < hosts.size(); ++r) {
      view.members.push_back({{1, r + 1}, Slot(r), hosts[r], {}});
      ring.push_back(Rank(r));
    }
    costs.local = local;
    costs.remote = remote;
    costs.reduce_ps_per_kib = 100'000;  // 10 GB/s
  }
  Algorithm chosen(uint64_t bytes) const { return choose_by_cost(bytes, view, ring, costs, config); }
  uint64_t ns(Algorithm algorithm, uint64_t bytes) const {
    return predict(algorithm, bytes, placement_of(view, ring), costs, config);
  }
  View view;
  std::vector<Rank> ring;
  RunConfig config;
  Costs costs;
};

std::vector<uint64_t> hosts(uint32_t ranks, uint32_t per_host) {
  std::vector<uint64_t> hosts;
  for (uint32_t r = 0; r < ranks; ++r) hosts.push_back(r / per_host);
  return hosts;
}

TEST(Cost, TakesFewMessagesForTinyOps) {
  EXPECT_EQ(Ranks(hosts(2, 2), kShared, {}).chosen(4), Algorithm::kDirect);
  EXPECT_EQ(Ranks(hosts(4, 1), {}, kFar).chosen(4), Algorithm::kDirect) << "one latency; a message more is nothing beside it";
  const Ranks many(hosts(32, 32), kShared, {});
  EXPECT_EQ(many.chosen(4), Algorithm::kDoubling) << "5 latencies, or 31 messages one by one";
  Ranks crowded(hosts(4, 4), kFast, {});
  crowded.costs.load = 32;
  EXPECT_EQ(crowded.chosen(4096), Algorithm::kDoubling) << "two messages of a rank, not three";
}

TEST(Cost, MovesNoByteTwiceForHugeOps) {
  EXPECT_EQ(Ranks(hosts(2, 2), kShared, {}).chosen(256 * kMiB), Algorithm::kRing);
  EXPECT_EQ(Ranks(hosts(3, 3), kShared, {}).chosen(256 * kMiB), Algorithm::kRing);
  EXPECT_EQ(Ranks(hosts(8, 8), kShared, {}).chosen(256 * kMiB), Algorithm::kHalving);
  EXPECT_EQ(Ranks(hosts(5, 1), {}, kGigabit).chosen(256 * kMiB), Algorithm::kRing);
}

TEST(Cost, CrossesASlowLinkOnceForAllRanksOfAHost) {
  const Ranks two(hosts(8, 4), kShared, kGigabit);
  EXPECT_EQ(two.chosen(16 * kMiB), Algorithm::kHierarchical);
  // 2 · 7/8 of the bytes over the link by the ring, 2 · 1/2 by hosts.
  EXPECT_NEAR(static_cast<double>(two.ns(Algorithm::kRing, 256 * kMiB)) /
                  static_cast<double>(two.ns(Algorithm::kHierarchical, 256 * kMiB)),
              1.75, 0.05);
  EXPECT_GT(two.ns(Algorithm::kHalving, 256 * kMiB), two.ns(Algorithm::kRing, 256 * kMiB))
      << "four ranks would share the link, each with half of the bytes";
}

TEST(Cost, TakesFewerStepsWhereLatencyIsWhatHurts) {
  const Ranks far(hosts(5, 1), {}, kFar);
  EXPECT_EQ(choose_by_rule(256u << 10, far.view, far.ring), Algorithm::kRing);
  EXPECT_EQ(far.chosen(256u << 10), Algorithm::kDirect) << "8 latencies of 20 ms, or one, for 10 ms of bytes";
}

// The formulas of Thakur, Rabenseifner and Gropp (2005), for ranks with a core and a link each.
TEST(Cost, IsThatOfThePaperWhereAllLinksAreAlike) {
  for (const uint32_t n : {2u, 4u, 8u, 16u}) {
    const Ranks run(hosts(n, 1), {}, link(50, 1000));
    const double alpha = 50e3, beta = 1024e6 / 1000 / 1024 / 1000, gamma = 100'000.0 / 1024 / 1000;
    const double b = 64.0 * kMiB, log = std::log2(n), part = (n - 1.0) / n;
    const auto is = [&](Algorithm algorithm, double ns) {
      EXPECT_NEAR(static_cast<double>(run.ns(algorithm, 64 * kMiB)) / ns, 1, 0.01) << name(algorithm) << " of " << n;
    };
    is(Algorithm::kRing, 2 * (n - 1) * alpha + 2 * part * b * beta + part * b * gamma);
    is(Algorithm::kHalving, 2 * log * alpha + 2 * part * b * beta + part * b * gamma);
    const double small = 256.0 * 1024;
    EXPECT_NEAR(static_cast<double>(run.ns(Algorithm::kDoubling, 256u << 10)) /
                    (log * (alpha + small * beta + small * gamma)), 1, 0.01) << n;
  }
}

TEST(Cost, StaysWithTheRuleUnlessAnotherWayIsClearlyFaster) {
  const Ranks run(hosts(4, 1), {}, kGigabit);
  const uint64_t ring = run.ns(Algorithm::kRing, 64 * kMiB), halving = run.ns(Algorithm::kHalving, 64 * kMiB);
  EXPECT_LT(halving, ring);
  EXPECT_EQ(run.chosen(64 * kMiB), Algorithm::kRing) << ring << " and " << halving;
}

TEST(Cost, IsByRuleWhereALinkThatCountsWasNotMeasured) {
  const Ranks far(hosts(4, 1), link(1, 1), {});
  EXPECT_EQ(far.chosen(4), choose_by_rule(4, far.view, far.ring));
  Ranks none(hosts(8, 8), {}, {});
  for (uint64_t bytes = 1; bytes < 1024 * kMiB; bytes *= 3)
    EXPECT_EQ(none.chosen(bytes), choose_by_rule(bytes, none.view, none.ring));
}

TEST(Cost, IsTheLeastOfAllOrTheRulesOwn) {
  Prng random(7);
  for (int trial = 0; trial < 2000; ++trial) {
    std::vector<uint64_t> where(2 + random.below(9));
    for (uint64_t& host : where) host = random.below(1 + random.below(4));
    Ranks run(where, link(1 + random.below(50), 100 + random.below(20'000)),
            link(5 + random.below(50'000), 1 + random.below(10'000)));
    run.costs.load = 16 + random.below(32);
    const uint64_t bytes = random.below(uint64_t{1} << random.below(34));
    const Algorithm chosen = run.chosen(bytes), usual = choose_by_rule(bytes, run.view, run.ring);
    uint64_t least = kNoWay;
    for (uint32_t a = 1; a < kAlgorithms; ++a) least = std::min(least, run.ns(static_cast<Algorithm>(a), bytes));
    const uint64_t ns = run.ns(chosen, bytes);
    EXPECT_TRUE(ns == least || (chosen == usual && ns <= least + least / 8)) << name(chosen) << " " << ns << " " << least;
  }
}

TEST(Cost, OverflowsByNoNumberThatAPeerCouldSend) {
  Ranks run(hosts(8, 4), {}, {});
  CostRow row;
  row.fill(~uint64_t{0});
  run.costs = costs_of(row);
  for (uint32_t a = 1; a < kAlgorithms; ++a) {
    const uint64_t small = run.ns(static_cast<Algorithm>(a), 1024);
    EXPECT_GT(small, kMostLatencyNs / 2) << name(static_cast<Algorithm>(a));
    EXPECT_GE(run.ns(static_cast<Algorithm>(a), uint64_t{1} << 43), small);
  }
}

TEST(Cost, OfAPeerIsTheWorstOfItsLinksOfEachKind) {
  const Ranks run({1, 1, 1, 2, 2}, {}, {});
  OwnCosts own;
  own.cores = 2;
  own.links[{1, 2}] = link(3, 5000);
  own.links[{1, 3}] = link(2, 1000);
  own.links[{1, 4}] = link(90, 100);
  own.links[{9, 9}] = link(5000, 1);  // of no member
  const Costs seen = seen_by(own, run.view, Rank(0));
  EXPECT_EQ(seen.local, link(3, 1000));
  EXPECT_EQ(seen.remote, link(90, 100));
  EXPECT_EQ(seen.load, 24u) << "three ranks on two cores";
  EXPECT_EQ(costs_of(row_of(seen)), seen);
}

TEST(Chooser, LearnsForOpsWhoseRanksAllHeard) {
  const Ranks far(hosts(5, 1), {}, kFar);
  Chooser chooser;
  chooser.install(far.config, std::vector<OpSeq>(5));
  const auto chosen = [&](uint64_t seq) {
    return chooser.choose(Algorithm::kAuto, 256u << 10, far.view, far.ring, OpSeq(seq));
  };
  EXPECT_EQ(chosen(8), Algorithm::kRing);
  chooser.learn(OpSeq(8), far.costs);
  EXPECT_EQ(chosen(8), Algorithm::kRing) << "an op that may have begun elsewhere before";
  EXPECT_EQ(chosen(9), Algorithm::kDirect);
  EXPECT_EQ(chooser.choose(Algorithm::kTree, 256u << 10, far.view, far.ring, OpSeq(9)), Algorithm::kTree);
  std::vector<OpSeq> first(5);
  first[4] = OpSeq(20);
  chooser.install(far.config, first);  // a newcomer, that was not told
  EXPECT_EQ(chosen(20), Algorithm::kRing);
  chooser.learn(OpSeq(28), far.costs);
  EXPECT_EQ(chosen(29), Algorithm::kDirect);
}

}  // namespace
}  // namespace rhz
