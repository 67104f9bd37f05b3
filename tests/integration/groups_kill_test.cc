// SIGKILL among ops in flight on two axes of a grid: in each row and column the survivors have one
// right result, and who lost nobody has everybody's.
#include <gtest/gtest.h>

#include <random>

#include "tests/integration/expect.h"

namespace rhz::test {
namespace {

constexpr uint32_t kKills = kSanitized ? 6 : 24;
constexpr uint32_t kOps = 6;  // on each axis, in flight at once

class TwoAxes : public testing::Test {
 protected:
  TwoAxes() : cluster_({.world = 4}), random_(seed()) { cluster_.found(); }

  static uint32_t row(uint32_t slot) { return slot / 2; }
  static uint32_t column(uint32_t slot) { return slot % 2; }

  // All split anew, as the world is another one.
  void split() {
    for (Member& member : cluster_.members()) {
      member.process->tell("split name=row key=" + std::to_string(100 - member.slot) +
                           " colour=" + std::to_string(row(member.slot)));
      member.process->tell("split name=column colour=" + std::to_string(column(member.slot)));
    }
    for (int axis = 0; axis < 2; ++axis)
      for (const Line& line : cluster_.answers("split")) {
        EXPECT_EQ(line.number("status"), kOk) << line.raw;
        EXPECT_EQ(line.number("world"), 2u) << line.raw;
      }
  }

  std::string op(const char* axis, uint32_t i) {
    const uint64_t count = i % 3 == 0 ? 700 : 400'000 + i;  // eager ones too
    return "submit comm=" + std::string(axis) + " id=" + std::to_string(first_ + i) +
           " count=" + std::to_string(count) +
           (i % 2 ? " rebuild=keep redop=avg" : " rebuild=strict redop=sum");
  }

  // Rows have even numbers; who dies does so `us` after it has begun.
  void run(uint32_t victim, uint64_t us) {
    for (Member& member : cluster_.members()) {
      for (uint32_t i = 0; i < 2 * kOps; ++i) {
        std::string command = op(i % 2 ? "column" : "row", i);
        if (i == 0) command += " barrier=1";
        if (i == 0 && member.slot == victim) command += " kill_us=" + std::to_string(us);
        member.process->tell(command);
      }
      for (uint32_t i = 0; i < 2 * kOps; ++i)
        member.process->tell("wait id=" + std::to_string(first_ + i));
    }
    EXPECT_TRUE(cluster_.at_slot(victim).process->wait(cluster_.deadline()));
    cluster_.drop(victim);
  }

  void check(uint32_t victim) {
    for (uint32_t i = 0; i < 2 * kOps; ++i) {
      const auto part = i % 2 ? column : row;
      for (uint32_t group = 0; group < 2; ++group) {
        std::vector<Line> lines;
        std::set<uint32_t> survivors, starters;
        for (Member& member : cluster_.members()) {
          if (part(member.slot) != group) continue;
          lines.push_back(cluster_.answer(member, "op"));
          survivors.insert(member.slot);
        }
        starters = survivors;
        if (part(victim) == group) starters.insert(victim);
        expect_one_result(lines);
        expect_contributors(lines[0], survivors, starters);
        rebuilt_ += lines[0].number("rebuilds") > 0;
      }
    }
    first_ += 2 * kOps;
  }

  Cluster cluster_;
  std::mt19937_64 random_;
  uint64_t first_ = 1;
  uint32_t rebuilt_ = 0;
};

TEST_F(TwoAxes, HaveOneRightResultInEachGroupWhenARankDiesAmongThem) {
  for (uint32_t i = 0; i < kKills && !cluster_.hung(); ++i) {
    split();
    const auto victim = static_cast<uint32_t>(random_() % 4);
    run(victim, 1 + random_() % 20'000);
    check(victim);
    for (const Line& line : cluster_.all("view comm=row", "view"))
      EXPECT_EQ(line.number("world"),
                row(static_cast<uint32_t>(line.number("slot"))) == row(victim) ? 1u : 2u)
          << line.raw;
    if (HasFailure())
      FAIL() << "after " << i + 1 << " kills, slot " << victim << " died\n" << cluster_.dump();
    cluster_.replace(1);
  }
  std::printf("kills=%u rebuilt=%u hangs=%d\n", kKills, rebuilt_, cluster_.hung());
  EXPECT_GE(rebuilt_, kKills / 3) << "most must have met ops in flight";
}

}  // namespace
}  // namespace rhz::test
