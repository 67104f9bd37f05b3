// The all-reduce by each algorithm that RHZ_ALGORITHM names: its values, and a death in the middle.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/integration/expect.h"

namespace rhz::test {
namespace {

constexpr uint64_t kCount = (4u << 20) / sizeof(float);
constexpr uint32_t kKills = 4;  // of each algorithm; every other one strict

class ByAlgorithm : public testing::TestWithParam<const char*> {
 protected:
  ClusterOptions options(uint32_t world) const {
    return {.world = world, .rank_options = std::string("algorithm=") + GetParam()};
  }
};

TEST_P(ByAlgorithm, AllReducesOfEverySizeAreRight) {
  for (const uint32_t world : {2u, 3u, 5u}) {
    Cluster cluster(options(world));
    cluster.found();
    uint64_t id = 1;
    for (const uint64_t count : {uint64_t{1}, uint64_t{4096}, uint64_t{4097}, kCount + 3}) {
      for (const Line& line : expect_all_reduce(cluster, id++, count))
        EXPECT_EQ(line.text("algorithm"), GetParam()) << line.raw;
      if (HasFailure()) FAIL() << count << " elements, world " << world << "\n" << cluster.dump();
    }
  }
}

TEST_P(ByAlgorithm, ADeathInTheMiddleLeavesOneRightResult) {
  Cluster cluster(options(4));
  cluster.found();
  std::mt19937_64 random(seed());
  uint64_t us = 1, id = 1;
  for (const Line& line : expect_all_reduce(cluster, id++, kCount))
    us = std::max(us, line.number("us"));
  for (uint32_t kill = 0; kill < kKills; ++kill) {
    const auto victim = static_cast<uint32_t>(random() % 4);
    const bool strict = kill % 2 == 0;
    const std::string base = "allreduce barrier=1 count=" + std::to_string(kCount) +
                             " id=" + std::to_string(id++) +
                             " rebuild=" + (strict ? "strict" : "keep");
    for (Member& member : cluster.members())
      member.process->tell(
          base + (member.slot != victim ? "" : " kill_us=" + std::to_string(1 + random() % us)));
    EXPECT_TRUE(cluster.at_slot(victim).process->wait(cluster.deadline()));
    cluster.drop(victim);
    const auto lines = cluster.answers("op");
    expect_one_result(lines);
    expect_contributors(lines[0], {}, {0, 1, 2, 3});
    EXPECT_TRUE(!strict || sets_of(lines[0].text("contributors")).size() == 1) << lines[0].raw;
    if (HasFailure()) FAIL() << "after " << kill + 1 << " kills\n" << cluster.dump();
    cluster.replace(1);
  }
}

// Until the ranks have told each other what they measured.  Empty: they did not.
std::vector<Line> measured_costs(Cluster& cluster, uint64_t& id, const std::string& bytes) {
  for (int round = 0; round < 2000; ++round) {
    cluster.tell_all("series first=" + std::to_string(id) + " ops=60 count=16");
    id += 60;
    for (const Line& line : cluster.answers("series")) EXPECT_EQ(line.number("status"), kOk) << line.raw;
    cluster.tell_all("costs bytes=" + bytes);
    const auto lines = cluster.answers("costs");
    if (testing::Test::HasFailure()) return {};
    if (std::all_of(lines.begin(), lines.end(), [](const Line& line) { return line.number("known") == 1; })) return lines;
  }
  return {};
}

TEST(ByCost, AllRanksHaveTheSameNumbersAndTheirOpsFollowThem) {
  Cluster cluster({.world = 4});
  cluster.found();
  uint64_t id = 1;
  const auto lines = measured_costs(cluster, id, std::to_string(kCount * sizeof(float)));
  ASSERT_EQ(lines.size(), 4u) << cluster.dump();
  for (const Line& line : lines) {
    for (const char* what : {"from", "chosen", "links", "predicted"})
      EXPECT_EQ(line.text(what), lines.front().text(what)) << line.raw;
    EXPECT_NE(line.text("links").substr(0, 2), "0,") << line.raw;
  }
  for (const Line& op : expect_all_reduce(cluster, id++, kCount))
    EXPECT_EQ(op.text("algorithm"), lines.front().text("chosen")) << op.raw << lines.front().raw;
}

TEST(ByCost, ANewcomerAndTheOthersGoByTheRuleUntilItWasToldToo) {
  Cluster cluster({.world = 3});
  cluster.found();
  uint64_t id = 1;
  ASSERT_EQ(measured_costs(cluster, id, "4096").size(), 3u) << cluster.dump();
  cluster.drop(2);
  cluster.replace(1);
  cluster.tell_all("costs bytes=4096");
  for (const Line& line : cluster.answers("costs")) EXPECT_EQ(line.number("known"), 0u) << line.raw;
  expect_all_reduce(cluster, id++, kCount);
  EXPECT_EQ(measured_costs(cluster, id, "4096").size(), 3u) << cluster.dump();
}

INSTANTIATE_TEST_SUITE_P(Names, ByAlgorithm,
                         testing::Values("ring", "direct", "doubling", "halving", "tree",
                                         "hierarchical"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace rhz::test
