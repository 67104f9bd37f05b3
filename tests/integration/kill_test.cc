// SIGKILL at a random point of an all-reduce: survivors finish with one result, and the sum tells
// whose inputs are in it.
//
// kKills is the figure of a CI run; --gtest_repeat=N makes it N times as many, with other victims
// at other points.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "rhizome/rhizome.h"
#include "tests/integration/expect.h"

namespace rhz::test {
namespace {

constexpr uint64_t kCount = (16u << 20) / sizeof(float);  // 16 MiB
constexpr uint64_t kPeerLost = 300;
constexpr int kUnprotectedKills = kSanitized ? 3 : 10;
constexpr uint32_t kKills = kSanitized ? 20 : 100;  // of all variants together

struct Variant {
  const char* rebuild;
  const char* redop;
  bool in_place;
  uint32_t share;  // of the kills, in percent
};

std::ostream& operator<<(std::ostream& out, const Variant& v) {
  return out << v.rebuild << "_" << v.redop << (v.in_place ? "_in_place" : "");
}

class Kill : public testing::TestWithParam<Variant> {
 protected:
  Kill() : cluster_({.rank_options = "state_bytes=65536"}), random_(seed()) { cluster_.found(); }

  std::string command(uint64_t id) const {
    const Variant& v = GetParam();
    return "allreduce barrier=1 count=" + std::to_string(kCount) + " id=" + std::to_string(id) +
           " rebuild=" + v.rebuild + " redop=" + v.redop +
           " in_place=" + std::to_string(v.in_place);
  }

  // What an op takes when nobody dies: the median of a few, each the slowest rank's.
  uint64_t steady_us() {
    std::vector<uint64_t> times;
    for (int i = 0; i < 5; ++i) {
      uint64_t slowest = 0;
      for (const Line& line : cluster_.all(command(next_id_++), "op")) {
        EXPECT_EQ(line.number("wrong"), 0u) << line.raw;
        slowest = std::max(slowest, line.number("us"));
      }
      times.push_back(slowest);
    }
    std::sort(times.begin(), times.end());
    return std::max<uint64_t>(1, times[times.size() / 2]);  // 0: they hang
  }

  // One peer dies within `us`; the others' ledger lines.
  std::vector<Line> kill_one(uint32_t victim, uint64_t us) {
    const std::string base = command(next_id_++);
    for (Member& member : cluster_.members())
      member.process->tell(base + (member.slot == victim ? " kill_us=" + std::to_string(us) : ""));
    Process& dying = *cluster_.at_slot(victim).process;
    EXPECT_TRUE(dying.wait(cluster_.deadline())) << "the victim lives";
    cluster_.drop(victim);
    return cluster_.answers("op");
  }

  void check(const std::vector<Line>& lines, uint32_t victim) {
    const std::string rebuild = GetParam().rebuild;
    if (rebuild == "fail" && lines[0].number("status") == kPeerLost) {
      expect_one_error(lines, kPeerLost, "slot " + std::to_string(victim));
      EXPECT_EQ(lines[0].number("culprit"), victim) << lines[0].raw;
      return;
    }
    expect_one_result(lines);
    std::set<uint32_t> survivors;
    for (const Member& member : cluster_.members()) survivors.insert(member.slot);
    std::set<uint32_t> starters = survivors;
    starters.insert(victim);
    expect_contributors(lines[0], survivors, starters);
    const bool mixed = sets_of(lines[0].text("contributors")).size() > 1;
    EXPECT_TRUE(!mixed || rebuild == "keep" || rebuild == "include") << lines[0].raw;
  }

  Cluster cluster_;
  std::mt19937_64 random_;
  uint64_t next_id_ = 1;
};

TEST_P(Kill, OfARandomPeerAtARandomPointLeavesOneRightResultEverywhere) {
  const uint64_t us = steady_us();
  const uint32_t kills = kKills * GetParam().share / 100;
  uint32_t done = 0, in_the_middle = 0, kept = 0, failed = 0;
  for (uint32_t i = 0; i < kills && !cluster_.hung(); ++i) {
    const uint32_t victim = cluster_.members()[random_() % 4].slot;
    const auto lines = kill_one(victim, 1 + random_() % us);
    check(lines, victim);
    in_the_middle += lines[0].number("rebuilds") > 0;
    kept += lines[0].text("contributors").find('|') != std::string::npos;
    failed += lines[0].number("status") == kPeerLost;
    if (HasFailure()) {
      ADD_FAILURE() << "after " << i + 1 << " kills\n" << cluster_.dump();
      break;
    }
    cluster_.all("step", "stepped");
    cluster_.replace(1);
    expect_one_state(cluster_);
    ++done;
  }
  // Also of a run that failed: tests/chaos/soak.sh counts.
  std::printf("kills=%u in_the_middle=%u mixed=%u failed=%u hangs=%d steady_us=%llu\n", done,
              in_the_middle, kept, failed, cluster_.hung(), static_cast<unsigned long long>(us));
  // Most of them must have met the op; how many is a matter of the scheduler.
  EXPECT_GE(in_the_middle, kills / 3);
}

// Each survivor has the right result or an error; then all go on together.
TEST(WithoutProtection, ADeathCostsSurvivorsTheOpAndNothingElse) {
  Cluster cluster({.run_options = "protection=" + std::to_string(RHZ_PROTECTION_OFF), .rank_options = "state_bytes=65536"});
  cluster.found();
  std::mt19937_64 random(seed());
  uint64_t id = 1;
  uint32_t lost = 0, good = 0;
  for (int i = 0; i < kUnprotectedKills && !cluster.hung(); ++i) {
    const uint64_t us = expect_all_reduce(cluster, id++, kCount)[0].number("us");
    const uint32_t victim = cluster.members()[random() % 4].slot;
    const std::string base = "allreduce count=" + std::to_string(kCount) + " id=" + std::to_string(id++) +
                             " in_place=" + std::to_string(i % 2);
    const std::string kill = " kill_us=" + std::to_string(1 + random() % (us + 1));
    for (Member& member : cluster.members()) member.process->tell(base + (member.slot == victim ? kill : ""));
    ASSERT_TRUE(cluster.at_slot(victim).process->wait(cluster.deadline())) << "the victim lives";
    cluster.drop(victim);
    // Whoever had returned the op may meet the change of the view in the next one.
    bool all_well = false;
    for (int tries = 0; !all_well && tries < 4 && !cluster.hung(); ++tries) {
      all_well = true;
      for (const Line& line : tries == 0 ? cluster.answers("op") : cluster.all("allreduce count=4096 id=" + std::to_string(id++), "op")) {
        const bool well = line.number("status") == kOk;
        EXPECT_TRUE(well || line.number("status") == kPeerLost) << line.raw;
        EXPECT_TRUE(well || line.text("text").find("no protection") != std::string::npos) << line.raw;
        EXPECT_EQ(line.number("wrong"), 0u) << line.raw;
        all_well &= well;
        ++(well ? good : lost);
      }
    }
    EXPECT_TRUE(all_well) << cluster.dump();
    cluster.all("step", "stepped");
    cluster.replace(1);
    expect_one_state(cluster);
  }
  std::printf("lost=%u good=%u\n", lost, good);
  EXPECT_GT(lost, 0u);
}

INSTANTIATE_TEST_SUITE_P(Modes, Kill,
                         testing::Values(Variant{"strict", "sum", false, 30},
                                         Variant{"strict", "sum", true, 20},
                                         Variant{"keep", "avg", false, 20},
                                         Variant{"keep", "avg", true, 10},
                                         Variant{"include", "avg", false, 10},
                                         Variant{"fail", "sum", false, 10}),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace rhz::test
