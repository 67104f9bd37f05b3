// Joiners that pull the state in bulk while the members train: what they enter with, and what a SIGKILL of a donor, of a joiner
// or of the coordinator at a random point does to it.
//
// R2 here: whoever enters holds the state of the revision that its view names, and all members hold the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <thread>

#include "rhizome/rhizome.h"
#include "tests/integration/environment.h"
#include "tests/integration/expect.h"

namespace rhz::test {
namespace {

constexpr uint64_t kStateBytes = 32u << 20;
constexpr int kKills = kSanitized ? 3 : 8;
constexpr uint32_t kJoiners = kSanitized ? 4 : 8;  // at once

class BulkSync : public testing::Test {
 protected:
  explicit BulkSync(uint32_t max_world = 6, uint32_t suspicion_ms = 3000)
      : cluster_({.world = 3, .max_world = max_world, .suspicion_ms = suspicion_ms, .log = true, .rank_options = "state_bytes=" + std::to_string(kStateBytes)}),
        random_(seed()) {
    cluster_.found();
  }
  // Members train, and stop at every step for those who want to come in.
  void train_until_joined(size_t members, uint32_t joiners) {
    for (size_t i = 0; i < members; ++i)
      cluster_.members()[i].process->tell("admit train=1 until=" + std::to_string(joiners));
  }
  // The lines with which they came in.
  std::vector<Line> enter(uint32_t joiners) {
    std::vector<Line> lines;
    auto& members = cluster_.members();
    for (size_t i = 0; i < members.size(); ++i) {
      const bool newcomer = i + joiners >= members.size();
      const Line line = cluster_.answer(members[i], newcomer ? "joined" : "admitted");
      EXPECT_EQ(line.number("status"), 0u) << line.raw;
      EXPECT_EQ(line.number("wrong"), 0u) << line.raw;
      if (!newcomer) continue;
      EXPECT_EQ(line.number("right"), 1u) << line.raw;
      members[i].slot = static_cast<uint32_t>(line.number("slot"));
      lines.push_back(line);
    }
    return lines;
  }
  void go_away(uint32_t slot) {
    Process& process = *cluster_.at_slot(slot).process;
    process.signal(SIGKILL);
    EXPECT_TRUE(process.wait(cluster_.deadline()));
    cluster_.drop(slot);
  }
  // Whether the last one is in, or the members waited for one that is gone.
  bool came_in() {
    Member& newcomer = cluster_.members().back();
    while (!cluster_.hung()) {
      if (const auto line = newcomer.process->await("joined", Clock::now() + Milliseconds(20))) {
        newcomer.slot = static_cast<uint32_t>(line->number("slot"));
        return true;
      }
      if (cluster_.ask(cluster_.members()[0], "view", "view").number("world") == 3) return false;
    }
    return false;
  }
  // A point of a join that takes about so long.
  void at_some_point(std::chrono::microseconds span) {
    const auto when = Clock::now() + std::chrono::microseconds(random_() % static_cast<uint64_t>(span.count()));
    while (Clock::now() < when) std::this_thread::yield();
  }
  std::chrono::microseconds join_once(const std::string& options = "") {
    const auto begin = Clock::now();
    const size_t members = cluster_.members().size();
    cluster_.start_rank(options);
    train_until_joined(members, 1);
    const auto lines = enter(1);
    if (!cluster_.hung()) go_away(cluster_.members().back().slot);
    return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin);
  }

  // One at a time, each at some point of the entry of a joiner with these options.
  void donors_die(const std::string& options) {
    const auto span = join_once(options);
    for (int kill = 0; kill < kKills && !cluster_.hung(); ++kill) {
      cluster_.start_rank(options);
      train_until_joined(3, 1);
      at_some_point(span);
      go_away(cluster_.members()[random_() % 3].slot);
      enter(1);
      expect_one_state(cluster_);
      expect_all_reduce(cluster_, static_cast<uint64_t>(kill) + 1);
      if (HasFailure()) FAIL() << "after " << kill + 1 << " kills\n" << cluster_.dump();
    }
  }

  const Environment bulk_{"RHZ_SYNC_BULK_BYTES", "0"};
  Cluster cluster_;
  std::mt19937_64 random_;
};

TEST_F(BulkSync, GivesAJoinerOneRevisionWhileMembersTrainAndTheRestAtTheEnd) {
  cluster_.start_rank();
  train_until_joined(3, 1);
  const auto lines = enter(1);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].number("bulk"), kStateBytes) << lines[0].raw;
  EXPECT_EQ(lines[0].number("rest"), kStateBytes) << "all of it changed meanwhile: " << lines[0].raw;
  EXPECT_GT(lines[0].number("revision"), 2u);
  expect_one_state(cluster_);
  expect_all_reduce(cluster_, 1);
}

TEST_F(BulkSync, AJoinerThatFollowsHasTheMembersStateWhenTheyStand) {
  cluster_.start_rank("follow=1");
  train_until_joined(3, 1);
  const auto lines = enter(1);
  EXPECT_EQ(lines[0].number("bulk"), kStateBytes) << lines[0].raw;
  EXPECT_EQ(lines[0].number("rest"), 0u) << "it made the updates itself: " << lines[0].raw;
  EXPECT_GT(lines[0].number("updates"), 0u) << lines[0].raw;
  expect_one_state(cluster_);
  expect_all_reduce(cluster_, 1);
}

TEST_F(BulkSync, WhatAJoinerMakesOtherwiseIsPulledAtTheEnd) {
  cluster_.start_rank("follow=2");
  train_until_joined(3, 1);
  const auto lines = enter(1);
  EXPECT_GT(lines[0].number("updates"), 0u) << lines[0].raw;
  EXPECT_EQ(lines[0].number("rest"), kStateBytes) << lines[0].raw;
  expect_one_state(cluster_);
}

TEST_F(BulkSync, OfAStateThatNobodyChangesLeavesNothingForTheEnd) {
  cluster_.start_rank();
  cluster_.open_boundary(1);
  const auto lines = enter(1);
  EXPECT_EQ(lines[0].number("bulk"), kStateBytes) << lines[0].raw;
  EXPECT_EQ(lines[0].number("rest"), 0u) << lines[0].raw;
  expect_one_state(cluster_);
}

TEST_F(BulkSync, ServesSeveralJoinersAtOnce) {
  const std::string whole = "world=6";
  for (int i = 0; i < 3; ++i) cluster_.start_rank(whole);
  for (size_t i = 0; i < 3; ++i) cluster_.members()[i].process->tell("admit " + whole);
  // They may come in one by one; who is in goes to the boundary with the others.
  for (const Line& line : enter(3))
    EXPECT_EQ(line.number("bulk") + line.number("rest"), kStateBytes) << line.raw;
  expect_one_state(cluster_);
  expect_all_reduce(cluster_, 1);
}

class EightAtOnce : public BulkSync {
 protected:
  // Eleven processes that all compute are slow on two cores: nobody is to be evicted for that.
  EightAtOnce() : BulkSync(3 + kJoiners, 10'000) {}
  // SIGKILL of the first one of those behind the members that has some of the state, and not all of it: its pages are untouched before.
  void kill_one_in_its_sync() {
    auto& members = cluster_.members();
    const Deadline deadline = cluster_.deadline();
    while (Clock::now() < deadline) {
      EXPECT_FALSE(members.back().process->await("joined", Clock::now() + Milliseconds(1))) << "before all have entered";
      for (size_t i = 3; i < members.size(); ++i) {
        const uint64_t resident = members[i].process->resident_bytes();
        if (resident < kStateBytes / 2 || resident >= kStateBytes) continue;
        members[i].process->signal(SIGKILL);
        EXPECT_TRUE(members[i].process->wait(cluster_.deadline()));
        members.erase(members.begin() + static_cast<long>(i));
        return;
      }
    }
    FAIL() << "nobody is half way";
  }
};

TEST_F(EightAtOnce, EnterWhileMembersTrainAndReduceThoughOneDiesInItsSync) {
  const std::string all = "world=" + std::to_string(2 + kJoiners) + " train=1 work=20000";
  for (uint32_t i = 0; i < kJoiners; ++i) cluster_.start_rank(all);
  for (size_t i = 0; i < 3; ++i) cluster_.members()[i].process->tell("admit " + all);
  kill_one_in_its_sync();
  for (const Line& line : enter(kJoiners - 1)) EXPECT_GE(line.number("bulk") + line.number("rest"), kStateBytes) << line.raw;
  expect_one_state(cluster_);
  expect_all_reduce(cluster_, 1);
  for (const Line& view : cluster_.all("view", "view")) EXPECT_EQ(view.number("world"), 2 + kJoiners) << view.raw;
}

TEST_F(BulkSync, SurvivesTheDeathOfADonorAtAnyPoint) {
  donors_die("");
}

TEST_F(BulkSync, FollowsOthersWhenADonorDiesAtAnyPoint) {
  donors_die("follow=1");
}

TEST_F(BulkSync, IsNotHeldUpByADonorThatFreezesAtAnyPoint) {
  const auto span = join_once();
  for (int kill = 0; kill < 3 && !cluster_.hung(); ++kill) {
    cluster_.start_rank();
    train_until_joined(3, 1);
    at_some_point(span / 2);
    const uint32_t slot = cluster_.members()[random_() % 3].slot;
    cluster_.at_slot(slot).process->signal(SIGSTOP);
    // It comes back only when all is over: the others have removed it by then, or entered without it.
    auto frozen = std::move(cluster_.at_slot(slot).process);
    cluster_.drop(slot);
    enter(1);
    expect_one_state(cluster_);
    expect_all_reduce(cluster_, static_cast<uint64_t>(kill) + 1);
    if (HasFailure()) FAIL() << "after " << kill + 1 << " freezes\n" << cluster_.dump();
  }
}

TEST_F(BulkSync, SurvivesTheDeathOfAJoinerAtAnyPoint) {
  const auto span = join_once();
  for (int kill = 0; kill < kKills && !cluster_.hung(); ++kill) {
    Process& dying = *cluster_.start_rank().process;
    train_until_joined(3, 1);
    at_some_point(span / 2);
    dying.signal(SIGKILL);
    EXPECT_TRUE(dying.wait(cluster_.deadline()));
    cluster_.members().pop_back();
    cluster_.start_rank();
    for (size_t i = 0; i < 3; ++i) cluster_.answer(cluster_.members()[i], "admitted");
    if (!came_in()) {  // it was the one that died: the next one waits
      train_until_joined(3, 1);
      enter(1);
    }
    expect_one_state(cluster_);
    expect_all_reduce(cluster_, static_cast<uint64_t>(kill) + 1);
    go_away(cluster_.members().back().slot);
    if (HasFailure()) FAIL() << "after " << kill + 1 << " kills\n" << cluster_.dump();
  }
}

TEST_F(BulkSync, SurvivesARestartOfTheCoordinatorAtAnyPoint) {
  const auto span = join_once();
  for (int kill = 0; kill < kKills && !cluster_.hung(); ++kill) {
    cluster_.start_rank();
    train_until_joined(3, 1);
    at_some_point(span);
    cluster_.kill_coordinator();
    cluster_.restart_coordinator();
    enter(1);
    expect_one_state(cluster_);
    expect_all_reduce(cluster_, static_cast<uint64_t>(kill) + 1);
    go_away(cluster_.members().back().slot);
    if (HasFailure()) FAIL() << "after " << kill + 1 << " kills\n" << cluster_.dump();
  }
}

}  // namespace
}  // namespace rhz::test
