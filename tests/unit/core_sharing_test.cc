// Ranks that share a core part.
#include "api/src/core_sharing.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <thread>
#include <vector>

namespace rhz::test {
namespace {

cpu_set_t usable() {
  cpu_set_t set;
  CPU_ZERO(&set);
  (void)sched_getaffinity(0, sizeof set, &set);
  return set;
}

void stay_on(size_t core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  (void)sched_setaffinity(0, sizeof set, &set);
}

// Somebody on every core who gives way all the time, as waiting ranks do.
class CoreSharingTest : public testing::Test {
 protected:
  void SetUp() override {
    for (size_t core = 0; core < CPU_SETSIZE && others_.size() < 8; ++core)
      if (CPU_ISSET(core, &allowed_))
        others_.emplace_back([this, core] {
          stay_on(core);
          while (!over_) std::this_thread::yield();
        });
  }
  void TearDown() override {
    over_ = true;
    for (auto& other : others_) other.join();
    (void)sched_setaffinity(0, sizeof allowed_, &allowed_);
  }
  void give_way_for(Duration at_most) {
    const auto begin = std::chrono::steady_clock::now();
    for (Duration past{}; past < at_most && sharing_.moves() == 0;
         past = std::chrono::steady_clock::now() - begin) {
      std::this_thread::yield();
      sharing_.gave_way(Time(past), 1);
    }
  }

  const cpu_set_t allowed_ = usable();
  std::atomic<bool> over_{false};
  std::vector<std::thread> others_;
  CoreSharing sharing_{7};
};

TEST_F(CoreSharingTest, WhoSharesACoreMovesToAnotherAndMayUseAllAsBefore) {
  if (CPU_COUNT(&allowed_) < 2) GTEST_SKIP() << "one core";
  if (CPU_COUNT(&allowed_) > 8) GTEST_SKIP() << "more cores than are kept busy here";
  give_way_for(milliseconds(20000));
  EXPECT_EQ(sharing_.moves(), 1u);
  const cpu_set_t now = usable();
  EXPECT_TRUE(CPU_EQUAL(&now, &allowed_));
}

TEST(CoreSharing, ACoreIsCrowdedThatHasMoreThanItsFairShare) {
  EXPECT_FALSE(CoreSharing::is_crowded(1000, 0, 1));
  EXPECT_FALSE(CoreSharing::is_crowded(1000, 400, 1));
  EXPECT_TRUE(CoreSharing::is_crowded(1000, 1000, 1));  // two where there is a core for each
  EXPECT_FALSE(CoreSharing::is_crowded(1000, 1000, 2));
  EXPECT_TRUE(CoreSharing::is_crowded(1000, 2000, 2));  // three, and one on the other core
  EXPECT_FALSE(CoreSharing::is_crowded(1000, 2000, 3));  // of five on two
  EXPECT_FALSE(CoreSharing::is_crowded(0, 0, 1));
}

TEST_F(CoreSharingTest, WhoIsBoundToACoreStaysThere) {
  size_t core = 0;
  while (!CPU_ISSET(core, &allowed_)) ++core;
  stay_on(core);
  give_way_for(milliseconds(50));
  EXPECT_EQ(sharing_.moves(), 0u);
  EXPECT_EQ(sched_getcpu(), static_cast<int>(core));
}

}  // namespace
}  // namespace rhz::test
