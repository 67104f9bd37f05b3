// A prober and the links that it measures, in made-up time.
#include "runtime/membership/prober.h"

#include <gtest/gtest.h>

namespace rhz {
namespace {

constexpr PeerId kNear{1, 1}, kFar{1, 2};

struct Links {
  Links() { prober.watch(now, {kNear, kFar}); }

  // Runs until `end`; how many probes were answered.
  uint32_t run(Time end, bool idle = true) {
    uint32_t answered = 0;
    for (uint32_t step = 0; step < 100'000 && now < end; ++step) {
      const auto probe = prober.tick(now, idle);
      if (!probe) {
        now = std::min(end, std::max(prober.next_tick(now), now + Duration(1)));
        continue;
      }
      if (probe->to == silent) continue;
      const bool far = probe->to == kFar;
      const Duration disturbed = microseconds(sent++ % 4 == 0 ? 0 : 700);
      now += 2 * (far ? milliseconds(5) : microseconds(10)) + disturbed;
      now += Duration(probe->bytes * (far ? 10 : 1));  // 100 MB/s and 1 GB/s
      answered += prober.answered(now, probe->to, probe->number);
    }
    return answered;
  }

  Prober prober;
  Time now{};
  PeerId silent;
  uint32_t sent = 0;
};

TEST(Prober, MeasuresLatencyAndBandwidthOfEachLink) {
  Links links;
  links.run(std::chrono::seconds(1));
  const auto& costs = links.prober.costs();
  ASSERT_EQ(costs.size(), 2u);
  EXPECT_EQ(costs.at(kNear), (LinkCost{10'000, 1024'000}));
  EXPECT_EQ(costs.at(kFar), (LinkCost{5'000'000, 10'240'000}));
}

TEST(Prober, AsksEverMoreRarely) {
  Links links;
  const uint32_t first = links.run(std::chrono::seconds(10));
  const uint32_t later = links.run(std::chrono::seconds(100)) + links.run(std::chrono::seconds(190));
  EXPECT_GT(first, later);
  EXPECT_GT(later, 0u);
}

TEST(Prober, WaitsForAnIdleMomentButNotForEver) {
  Links links;
  EXPECT_EQ(links.run(milliseconds(60), /*idle=*/false), 0u);
  EXPECT_GT(links.run(milliseconds(200), /*idle=*/false), 0u);
}

TEST(Prober, GivesUpOnAPeerThatDoesNotAnswerAndGoesOnWithTheNext) {
  Links links;
  links.silent = kNear;
  links.run(std::chrono::seconds(5));
  EXPECT_FALSE(links.prober.costs().contains(kNear));
  EXPECT_TRUE(links.prober.costs().contains(kFar));
}

TEST(Prober, HeedsNoAnswerThatItDoesNotWaitFor) {
  Links links;
  links.now = milliseconds(30);
  const auto probe = links.prober.tick(links.now, true);
  ASSERT_TRUE(probe);
  EXPECT_FALSE(links.prober.answered(links.now, kFar, probe->number));
  EXPECT_FALSE(links.prober.answered(links.now, probe->to, probe->number + 1));
  EXPECT_TRUE(links.prober.answered(links.now, probe->to, probe->number));
  EXPECT_FALSE(links.prober.answered(links.now, probe->to, probe->number)) << "twice";
  links.prober.watch(links.now, {kFar});
  EXPECT_FALSE(links.prober.answered(links.now, kNear, probe->number + 1)) << "of a view before";
}

TEST(Prober, ForgetsWhoIsNoMemberAndKeepsWhatItKnowsOfTheOthers) {
  Links links;
  links.run(std::chrono::seconds(1));
  links.prober.watch(links.now, {kFar});
  EXPECT_EQ(links.prober.costs().size(), 1u);
  links.prober.watch(links.now, {});
  EXPECT_TRUE(links.prober.costs().empty());
  EXPECT_EQ(links.prober.next_tick(links.now), kNever);
}

}  // namespace
}  // namespace rhz
