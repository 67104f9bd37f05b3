// SIGKILL at named points: in each call, one after the other, by which bytes of a rank leave or
// come in the course of an all-reduce; before it, in the middle of what it sends, or behind it.
// Until the op has no more calls than that.
#include <gtest/gtest.h>

#include "tests/integration/expect.h"

namespace rhz::test {
namespace {

constexpr uint64_t kMostPoints = 2000;
constexpr int kMisses = 9;  // how many calls there are is not the same each time
const char* const kHow[] = {"before", "half", "after"};

struct Variant {
  const char* name;
  uint64_t count;  // floats: up to 256 KiB an op is released by another rule than above
};
std::ostream& operator<<(std::ostream& out, const Variant& v) { return out << v.name; }

class CrashPoints : public testing::TestWithParam<Variant> {};

TEST_P(CrashPoints, LeaveOneRightResultOnSurvivors) {
  Cluster cluster({.world = 3, .rank_options = "state_bytes=4096"});
  cluster.found();
  uint64_t id = 1, point = 0, turn = 0;
  uint32_t met = 0;
  int misses = 0;
  // The first ops make connections, which come again in no other.
  for (int i = 0; i < 2; ++i) expect_all_reduce(cluster, id++, GetParam().count);
  while (misses < kMisses && !cluster.hung() && !testing::Test::HasFailure() && point < kMostPoints) {
    const std::string how = kHow[turn++ % std::size(kHow)];
    point += how == kHow[0];
    const std::string op = "allreduce barrier=1 final=1 id=" + std::to_string(id++) +
                           " count=" + std::to_string(GetParam().count);
    const uint32_t victim = cluster.members()[turn % 2].slot;
    for (Member& member : cluster.members())
      member.process->tell(
          op + (member.slot == victim
                    ? " crash_at=" + std::to_string(point) + " crash_how=" + how
                    : ""));
    Process& dying = *cluster.at_slot(victim).process;
    const auto lived = dying.await("op", cluster.deadline());
    const bool lives = lived.has_value();
    std::vector<Line> lines;
    std::set<uint32_t> survivors, starters;
    for (Member& member : cluster.members()) {
      starters.insert(member.slot);
      if (member.slot == victim && !lives) continue;
      survivors.insert(member.slot);
      lines.push_back(member.slot == victim ? *lived : cluster.answer(member, "op"));
    }
    SCOPED_TRACE("slot " + std::to_string(victim) + " dies " + how + " call " +
                 std::to_string(point));
    expect_one_result(lines);
    expect_contributors(lines[0], survivors, starters);
    misses = lives ? misses + 1 : 0;
    if (lives) continue;
    met += lines[0].number("rebuilds") > 0 || sets_of(lines[0].text("contributors")) == std::vector{survivors};
    ASSERT_TRUE(dying.wait(cluster.deadline())) << "the victim says nothing, and lives";
    cluster.drop(victim);
    cluster.all("step", "stepped");
    cluster.replace(1);
    expect_one_state(cluster);
    if (HasFailure()) ADD_FAILURE() << cluster.dump();
  }
  std::printf("points=%llu met=%u\n", static_cast<unsigned long long>(point), met);
  EXPECT_EQ(misses, kMisses) << "an op of " << GetParam().name << " has more than " << point << " calls";
  EXPECT_GT(met, 0u) << "none of them met the op";
}

INSTANTIATE_TEST_SUITE_P(Sizes, CrashPoints,
                         testing::Values(Variant{"small", 256}, Variant{"large", 100'000}),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace rhz::test
