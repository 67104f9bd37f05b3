// SIGKILL at a random point of each of the other collectives: all survivors end alike, with values
// that are what the library says of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/integration/collectives.h"

namespace rhz::test {
namespace {

constexpr uint32_t kWorld = 4;
constexpr uint32_t kKills = 10;  // of each kind; every other one strict

class CollectiveKill : public testing::TestWithParam<CollectiveKind> {
 protected:
  CollectiveKill() : cluster_({.world = kWorld}), random_(seed()) { cluster_.found(); }

  std::string command(const Death& death) {
    // 8 MiB through the busiest rank, and sometimes a small one.
    const uint64_t bytes = random_() % 8 == 0 ? 4000 : GetParam().spans ? 2u << 20 : 8u << 20;
    const Buffers buffers{"f32", bytes / 4, death.root, kWorld,
                          GetParam().in_place && random_() % 2, death.vary};
    return "collective barrier=1 " + command_of(GetParam(), buffers, id_++, death.rebuild);
  }

  // What an op takes when nobody dies: the median of a few, each the slowest rank's.
  uint64_t steady_us() {
    std::vector<uint64_t> times;
    for (int i = 0; i < 5; ++i) {
      uint64_t slowest = 0;
      for (const Line& line : cluster_.all(command({"strict", 0, 0, {}, false}), "op")) {
        EXPECT_EQ(line.number("wrong"), 0u) << line.raw;
        slowest = std::max(slowest, line.number("us"));
      }
      times.push_back(slowest);
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
  }

  std::vector<Line> kill_one(Death& death, uint64_t us) {
    const std::string base = command(death);
    for (Member& member : cluster_.members()) {
      const bool dies = member.slot == death.victim;
      if (!dies) death.survivors.insert(member.slot);
      member.process->tell(base + (dies ? " kill_us=" + std::to_string(us) : ""));
    }
    EXPECT_TRUE(cluster_.at_slot(death.victim).process->wait(cluster_.deadline()));
    cluster_.drop(death.victim);
    return cluster_.answers("op");
  }

  Cluster cluster_;
  std::mt19937_64 random_;
  uint64_t id_ = 1;
};

TEST_P(CollectiveKill, OfAnyRankAtAnyPointEndsAlikeEverywhere) {
  const uint64_t us = steady_us();
  uint32_t in_the_middle = 0, lost = 0, empty = 0;
  for (uint32_t i = 0; i < kKills; ++i) {
    Death death;
    death.rebuild = i % 2 ? "keep" : "strict";
    death.victim = static_cast<uint32_t>(random_() % kWorld);
    death.vary = random_() % 2 == 0;
    // Every other pair of deaths is the root's.
    death.root = i / 2 % 2 ? death.victim : static_cast<uint32_t>(random_() % kWorld);
    const auto lines = kill_one(death, 1 + random_() % us);
    expect_after(death, GetParam(), lines);
    in_the_middle += lines[0].number("rebuilds") > 0;
    lost += lines[0].number("status") == kPeerLost;
    for (const Line& line : lines) empty += !line.text("empty").empty();
    if (HasFailure())
      FAIL() << "after " << i + 1 << " kills, slot " << death.victim << " died, root " << death.root
             << ", " << death.rebuild << "\n"
             << cluster_.dump();
    cluster_.replace(1);
  }
  std::printf("kills=%u in_the_middle=%u lost=%u empty=%u hangs=%d\n", kKills, in_the_middle, lost,
              empty, cluster_.hung());
}

INSTANTIATE_TEST_SUITE_P(Kinds, CollectiveKill, testing::ValuesIn(kCollectiveKinds),
                         testing::PrintToStringParamName());

// All kinds at once, and one rank dies somewhere among them.
TEST(CollectivesInFlight, EndAlikeOneByOneWhenARankDies) {
  Cluster cluster({.world = kWorld});
  cluster.found();
  std::mt19937_64 random(seed());
  uint64_t id = 1;
  for (uint32_t kill = 0; kill < 6 && !cluster.hung(); ++kill) {
    Death death{kill % 2 ? "keep" : "strict",
                static_cast<uint32_t>(random() % kWorld),
                static_cast<uint32_t>(random() % kWorld),
                {},
                true};
    for (uint32_t slot = 0; slot < kWorld; ++slot)
      if (slot != death.victim) death.survivors.insert(slot);
    std::vector<std::string> commands;
    for (const CollectiveKind& kind : kCollectiveKinds)
      commands.push_back("submit " + command_of(kind,
                                                {"i32", random() % 2 ? 100'000u : 700u, death.root,
                                                 kWorld, false, random() % 2 == 0},
                                                id++, death.rebuild));
    commands[0] += " barrier=1";
    for (Member& member : cluster.members()) {
      for (size_t i = 0; i < commands.size(); ++i) {
        const bool dies = member.slot == death.victim && i == 0;
        member.process->tell(commands[i] +
                             (dies ? " kill_us=" + std::to_string(1 + random() % 30'000) : ""));
      }
      for (uint64_t op = id - commands.size(); op < id; ++op)
        member.process->tell("wait id=" + std::to_string(op));
    }
    EXPECT_TRUE(cluster.at_slot(death.victim).process->wait(cluster.deadline()));
    cluster.drop(death.victim);
    for (const CollectiveKind& kind : kCollectiveKinds)
      expect_after(death, kind, cluster.answers("op"));
    if (testing::Test::HasFailure()) FAIL() << "after " << kill + 1 << " kills\n" << cluster.dump();
    cluster.replace(1);
  }
}

}  // namespace
}  // namespace rhz::test
