// Faults of real processes: several at once, the coordinator's, a frozen peer's, and deaths while a
// newcomer is brought in.
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <csignal>
#include <random>

#include "tests/integration/environment.h"
#include "tests/integration/expect.h"

namespace rhz::test {
namespace {

constexpr uint64_t kMiB = 1u << 20;
constexpr uint64_t kBig = 16 * kMiB / sizeof(float);
constexpr uint64_t kEvicted = 400;

// Time itself is what a frozen peer is about: nothing is waited for.
void let_pass(Milliseconds time) { (void)poll(nullptr, 0, static_cast<int>(time.count())); }

std::string big_op(uint64_t id, const std::string& more = "") {
  return "allreduce id=" + std::to_string(id) + " count=" + std::to_string(kBig) + " " + more;
}

// From two to all but one.  A view may have all of them; or, where the scheduler lets one die behind the batch window, each costs one.
class SeveralAtOnce : public testing::TestWithParam<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Faults, SeveralAtOnce, testing::Values(2u, 3u), testing::PrintToStringParamName());

TEST_P(SeveralAtOnce, LeaveOneResultAmongTheOthersAndCostAViewEachAtMost) {
  const uint32_t deaths = GetParam();
  // Deaths are told by the kernel.  Of silence there is to be none: each edge that a busy machine breaks costs a view of its own.
  Cluster cluster({.suspicion_ms = 10'000, .rank_options = "state_bytes=65536"});
  cluster.found();
  std::mt19937_64 random(seed());
  uint64_t in_one_view = 0;
  for (uint64_t rep = 1; rep <= 6 && !cluster.hung(); ++rep) {
    // At the same moment; or the others while the first is being healed.
    const uint64_t us = 1 + random() % 60'000;
    const uint64_t later_us = us + (rep % 2 ? 0 : random() % 6000);
    auto& members = cluster.members();
    std::shuffle(members.begin(), members.end(), random);
    const uint64_t epoch = cluster.ask(members.back(), "view", "view").number("epoch");
    std::set<uint32_t> victims, others;
    for (size_t i = 0; i < members.size(); ++i) {
      (i < deaths ? victims : others).insert(members[i].slot);
      const std::string kill = i < deaths ? " kill_us=" + std::to_string(i == 0 ? us : later_us) : "";
      members[i].process->tell(big_op(rep, "barrier=1") + kill);
    }
    for (const uint32_t slot : victims) {
      ASSERT_TRUE(cluster.at_slot(slot).process->wait(cluster.deadline()));
      cluster.drop(slot);
    }
    const auto lines = cluster.answers("op");
    expect_one_result(lines);
    expect_contributors(lines[0], others, {0, 1, 2, 3});
    for (const Line& line : lines) EXPECT_LE(line.number("rebuilds"), deaths) << line.raw;
    // Behind the next op none of them is in the view, also where all died behind this one.
    expect_all_reduce(cluster, 100 + rep);
    const Line view = cluster.ask(members.back(), "view", "view");
    EXPECT_EQ(view.number("world"), others.size()) << view.raw;
    EXPECT_LE(view.number("epoch"), epoch + deaths) << view.raw;
    EXPECT_GT(view.number("epoch"), epoch) << view.raw;
    in_one_view += view.number("epoch") == epoch + 1;
    cluster.replace(deaths);
    expect_one_state(cluster);
    if (HasFailure()) FAIL() << "in round " << rep << "\n" << cluster.dump();
  }
  std::printf("deaths=%u in_one_view=%llu of 6\n", deaths, static_cast<unsigned long long>(in_one_view));
}

TEST(SeveralOps, InFlightAllFinishWhenAPeerDies) {
  Cluster cluster;
  cluster.found();
  constexpr uint64_t kOps = 6;
  std::mt19937_64 random(seed());
  for (uint64_t rep = 0; rep < 5 && !cluster.hung(); ++rep) {
    const uint32_t victim = cluster.members()[random() % 4].slot;
    for (uint64_t i = 0; i < kOps; ++i) {
      const uint64_t id = 1 + rep * kOps + i;
      // Large and small ones, in every mode: some are released when others still wait.
      const std::string op = "submit id=" + std::to_string(id) +
                             " count=" + std::to_string(i % 2 ? 1024 : kBig / 4) +
                             (i % 3 ? " redop=avg" : " in_place=1");
      for (Member& member : cluster.members()) {
        const bool dies = member.slot == victim && i == kOps / 2;
        const uint64_t us = 1 + random() % 40'000;
        member.process->tell(op + (dies ? " kill_us=" + std::to_string(us) : ""));
      }
    }
    ASSERT_TRUE(cluster.at_slot(victim).process->wait(cluster.deadline()));
    cluster.drop(victim);
    for (uint64_t i = 0; i < kOps; ++i) {
      const auto lines = cluster.all("wait id=" + std::to_string(1 + rep * kOps + i), "op");
      expect_one_result(lines);
    }
    cluster.replace(1);
  }
}

// Released by rule (b): each survivor returns an op as soon as it has the result, and keeps a copy
// for the others.
TEST(SmallOps, AreTheSameOnAllSurvivorsAlthoughTheyReturnAtOnce) {
  Cluster cluster;
  cluster.found();
  std::mt19937_64 random(seed());
  constexpr uint64_t kOps = 300;
  for (uint64_t rep = 0; rep < 10 && !cluster.hung(); ++rep) {
    const uint32_t victim = cluster.members()[random() % 4].slot;
    const std::string series = "series ops=" + std::to_string(kOps) +
                               " first=" + std::to_string(rep * kOps) +
                               " count=" + std::to_string(rep % 2 ? 1000 : 20'000);
    for (Member& member : cluster.members()) {
      const uint64_t us = 1 + random() % 40'000;
      member.process->tell(series +
                           (member.slot == victim ? " kill_us=" + std::to_string(us) : ""));
    }
    ASSERT_TRUE(cluster.at_slot(victim).process->wait(cluster.deadline()));
    cluster.drop(victim);
    const auto lines = cluster.answers("series");
    expect_one_result(lines);
    EXPECT_EQ(lines[0].number("done"), kOps) << lines[0].raw;
    cluster.replace(1);
  }
}

TEST(Boundary, ThatAPeerDiesAtLetsTheOthersAndTheNewcomerThrough) {
  Cluster cluster({.max_world = 5, .rank_options = "state_bytes=65536"});
  cluster.found();
  std::mt19937_64 random(seed());
  for (uint64_t rep = 0; rep < 6 && !cluster.hung(); ++rep) {
    const uint32_t victim = cluster.members()[random() % 4].slot;
    cluster.start_rank();
    cluster.open_boundary(1);
    const auto when = Clock::now() + std::chrono::microseconds(random() % 20'000);
    while (Clock::now() < when) {
    }
    cluster.at_slot(victim).process->signal(SIGKILL);
    ASSERT_TRUE(cluster.at_slot(victim).process->wait(cluster.deadline()));
    cluster.drop(victim);
    cluster.enter(1);
    expect_one_state(cluster);
    expect_all_reduce(cluster, rep);
    cluster.all("step", "stepped");
  }
}

TEST(Coordinator, ThatStaysAwayForTooLongWhileItIsNeededIsolatesTheRanks) {
  Cluster cluster({.world = 2, .log = true, .rank_options = "isolation_ms=500"});
  cluster.found();
  cluster.kill_coordinator();
  expect_all_reduce(cluster, 1);
  cluster.at_slot(1).process->signal(SIGKILL);
  ASSERT_TRUE(cluster.at_slot(1).process->wait(cluster.deadline()));
  cluster.drop(1);
  const Line line = cluster.ask(cluster.at_slot(0), "barrier", "barrier");
  EXPECT_EQ(line.number("status"), 401u) << line.raw;
  EXPECT_NE(line.text("text").find("join again when it is back"), std::string::npos) << line.raw;
}

TEST(Coordinator, IsNotMissedByOpsAndHealsAKillAfterItsRestart) {
  Cluster cluster({.log = true, .rank_options = "state_bytes=65536"});
  cluster.found();
  cluster.tell_all(big_op(1));
  cluster.kill_coordinator();
  expect_one_result(cluster.answers("op"));
  for (uint64_t id = 2; id < 6; ++id) expect_all_reduce(cluster, id, kBig / 4);
  cluster.restart_coordinator();
  expect_all_reduce(cluster, 6);
  for (Member& member : cluster.members())
    member.process->tell(big_op(7, "barrier=1") + (member.slot == 2 ? " kill_us=20000" : ""));
  ASSERT_TRUE(cluster.at_slot(2).process->wait(cluster.deadline()));
  cluster.drop(2);
  const auto lines = cluster.answers("op");
  expect_one_result(lines);
  expect_contributors(lines[0], {0, 1, 3}, {0, 1, 2, 3});
  cluster.replace(1);
  expect_one_state(cluster);
}

// The log ends before the view, between view and resolution, or behind it, as the kill has it.
TEST(Coordinator, KilledBetweenAKillAndItsResolutionDecidesOnceItIsBack) {
  Cluster cluster({.log = true});
  cluster.found();
  std::mt19937_64 random(seed());
  for (uint64_t rep = 1; rep <= 10 && !cluster.hung(); ++rep) {
    const uint32_t victim = cluster.members()[random() % 4].slot;
    for (Member& member : cluster.members())
      member.process->tell(big_op(rep, "barrier=1") +
                           (member.slot == victim ? " kill_us=15000" : ""));
    ASSERT_TRUE(cluster.at_slot(victim).process->wait(cluster.deadline()));
    // Up to 4 ms later: the batch window is 2 ms long, and a seal takes about one.
    const auto when = Clock::now() + std::chrono::microseconds(random() % 4000);
    while (Clock::now() < when) {
    }
    cluster.kill_coordinator();
    cluster.drop(victim);
    cluster.restart_coordinator();
    const auto lines = cluster.answers("op");
    expect_one_result(lines);
    cluster.replace(1);
  }
}

TEST(Frozen, ForHalfTheSuspicionTimeIsNotEvicted) {
  Cluster cluster({.suspicion_ms = 2000});
  cluster.found();
  const uint64_t epoch = cluster.ask(cluster.members()[0], "view", "view").number("epoch");
  for (uint64_t id = 1; id <= 2 && !cluster.hung(); ++id) {
    const Process& frozen = *cluster.members()[id].process;
    cluster.tell_all(big_op(id));
    frozen.signal(SIGSTOP);
    let_pass(Milliseconds(1000 * kSlowness));
    frozen.signal(SIGCONT);
    const auto lines = cluster.answers("op");
    expect_one_result(lines);
    EXPECT_EQ(lines[0].text("contributors"), "0,1,2,3");
  }
  EXPECT_EQ(cluster.ask(cluster.members()[0], "view", "view").number("epoch"), epoch);
}

TEST(Frozen, PastTheSuspicionTimeIsEvictedAndRejoinsAsANewPeer) {
  Cluster cluster({.suspicion_ms = 500, .rank_options = "state_bytes=65536"});
  cluster.found();
  cluster.all("step", "stepped");
  cluster.tell_all(big_op(1));
  const Process& frozen = *cluster.at_slot(1).process;
  frozen.signal(SIGSTOP);
  std::vector<Line> lines;
  for (uint32_t slot : {0u, 2u, 3u}) lines.push_back(cluster.answer(cluster.at_slot(slot), "op"));
  expect_one_result(lines);
  // It may have finished before it froze: then the others see its silence in the next op.
  if (lines[0].text("contributors") == "0,1,2,3") {
    for (uint32_t slot : {0u, 2u, 3u}) cluster.at_slot(slot).process->tell(big_op(2));
    for (uint32_t slot : {0u, 2u, 3u}) {
      const Line line = cluster.answer(cluster.at_slot(slot), "op");
      EXPECT_EQ(line.text("contributors"), "0,2,3") << line.raw;
    }
  }
  frozen.signal(SIGCONT);
  (void)cluster.answer(cluster.at_slot(1), "op");  // its own: as it was, or evicted
  const Line end = cluster.ask(cluster.at_slot(1), "barrier", "barrier");
  EXPECT_EQ(end.number("status"), kEvicted) << end.raw;
  EXPECT_NE(end.text("text").find("join again as a new"), std::string::npos) << end.raw;
  auto& members = cluster.members();
  std::swap(cluster.at_slot(1), members.back());
  members.back().process->tell("rejoin");
  cluster.open_boundary(1);
  cluster.enter(1);
  expect_one_state(cluster);
  expect_all_reduce(cluster, 3);
}

// At once, while the members stand; or in bulk first, while they go on.
class Sync : public testing::TestWithParam<const char*> {
 protected:
  // 64 MiB: long enough to die in the middle of it.
  Sync()
      : bulk_("RHZ_SYNC_BULK_BYTES", GetParam()),
        cluster_({.max_world = 5,
                  .log = true,
                  .rank_options = "state_bytes=" + std::to_string(64 * kMiB)}) {
    cluster_.found();
    cluster_.all("step", "stepped");
    cluster_.start_rank();
    cluster_.open_boundary(1);
  }
  // Returns once some of the state has arrived at the newcomer: its pages are untouched before.
  Process& half_synced() {
    Process& joiner = *cluster_.members().back().process;
    const Deadline deadline = cluster_.deadline();
    while (joiner.resident_bytes() < 24 * kMiB && Clock::now() < deadline)
      EXPECT_FALSE(joiner.await("joined", Clock::now() + Milliseconds(1))) << "too fast for us";
    EXPECT_GE(joiner.resident_bytes(), 24 * kMiB) << cluster_.dump();
    return joiner;
  }
  const Environment bulk_;
  Cluster cluster_;
};
INSTANTIATE_TEST_SUITE_P(Faults, Sync, testing::Values("9223372036854775808", "0"),
                         [](const auto& info) { return info.index == 0 ? "standing" : "in_bulk"; });

TEST_P(Sync, OfAJoinerThatDiesLetsTheMembersGoOnAndTheNextOneIn) {
  Process& joiner = half_synced();
  joiner.signal(SIGKILL);
  ASSERT_TRUE(joiner.wait(cluster_.deadline()));
  cluster_.members().pop_back();
  // They still stand at the boundary; it lets in the next one that comes.
  cluster_.start_rank();
  cluster_.enter(1);
  expect_one_state(cluster_);
  expect_all_reduce(cluster_, 1);
}

TEST_P(Sync, GoesOnWhenTheCoordinatorIsRestarted) {
  half_synced();
  cluster_.kill_coordinator();
  cluster_.restart_coordinator();
  cluster_.enter(1);
  expect_one_state(cluster_);
  expect_all_reduce(cluster_, 1);
}

TEST_P(Sync, GoesOnWhenADonorDies) {
  half_synced();
  Process& donor = *cluster_.at_slot(1).process;
  donor.signal(SIGKILL);
  ASSERT_TRUE(donor.wait(cluster_.deadline()));
  cluster_.drop(1);
  cluster_.enter(1);
  expect_one_state(cluster_);
  expect_all_reduce(cluster_, 1);
}

}  // namespace
}  // namespace rhz::test
