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

INSTANTIATE_TEST_SUITE_P(Names, ByAlgorithm,
                         testing::Values("ring", "direct", "doubling", "halving", "tree",
                                         "hierarchical"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace rhz::test
