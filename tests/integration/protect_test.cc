// Shards with parity, for real: vaults of several hosts, which are killed, and what is left of the
// stage that they protect.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <random>

#include "tests/integration/environment.h"
#include "tests/integration/expect.h"
#include "tests/integration/vault_hosts.h"

namespace rhz::test {
namespace {

constexpr size_t kWords = 100'000;  // 1.2 MB of state

class Shards : public testing::Test {
 protected:
  Shards()
      : run_("shards-" + std::to_string(getpid()) + "-" +
             testing::UnitTest::GetInstance()->current_test_info()->name()) {
    auto params = sized<rhz_coordinator_params>();
    params.run_id = run_.c_str();
    params.world = 1;
    params.max_world = 4;
    params.suspicion_ms = 1000 * kSlowness;
    EXPECT_EQ(rhz_coordinator_start(&params, &coordinator_), RHZ_OK) << rhz_last_error();
    address_ = rhz_coordinator_address(coordinator_);
  }
  ~Shards() override {
    trainer_.reset();
    hosts_.reset();
    rhz_coordinator_stop(coordinator_);
  }
  void start(uint32_t hosts, uint32_t racks = 0, size_t words = kWords,
             const std::string& memory = "256MiB") {
    hosts_ = std::make_unique<VaultHosts>(run_, address_, hosts, racks, memory);
    hosts_->start_all();
    trainer_ = std::make_unique<StageTrainer>(run_, address_, 0, words);
    trainer_->join();
  }
  // By a trainer that was never there before, and has not joined.
  void expect_restored(uint64_t revision, size_t words = kWords) {
    StageTrainer next(run_, address_, 1, words);
    ASSERT_EQ(next.restore(), RHZ_OK) << rhz_last_error();
    EXPECT_EQ(next.revision(), revision);
    EXPECT_TRUE(next.holds(revision));
  }

  const std::string run_;
  rhz_coordinator* coordinator_ = nullptr;
  std::string address_;
  std::unique_ptr<VaultHosts> hosts_;
  std::unique_ptr<StageTrainer> trainer_;
};

// Ten times that in the deep variant.
constexpr int kPairs = 10;

TEST_F(Shards, AnyTwoVaultsKilledAtOnceLoseNothing) {
  start(6);
  std::mt19937_64 random(seed());
  for (int round = 0; round < kPairs; ++round) {
    ASSERT_TRUE(trainer_->protect_until_it_stands(2)) << rhz_last_error();
    std::vector<uint32_t> hosts{0, 1, 2, 3, 4, 5};
    std::shuffle(hosts.begin(), hosts.end(), random);
    hosts.resize(2);
    hosts_->kill(hosts);
    expect_restored(trainer_->revision());
    if (HasFailure()) FAIL() << "round " << round << ": hosts " << hosts[0] << ", " << hosts[1];
    for (const uint32_t host : hosts) hosts_->start(host);
  }
}

TEST_F(Shards, AThirdVaultIsALossThatNamesTheStageAndTheNextSource) {
  start(6);
  ASSERT_TRUE(trainer_->protect_until_it_stands(2)) << rhz_last_error();
  hosts_->kill({1, 3, 4});
  StageTrainer next(run_, address_, 1, kWords);
  expect_refused(next.restore(), RHZ_ERR_STATE_LOST,
                 {"stage 0", "3 of 6 shards", "next source", "checkpoint"});
  // A newer revision is protected again, as soon as there are hosts for it.
  for (const uint32_t host : {1u, 3u, 4u}) hosts_->start(host);
  ASSERT_TRUE(trainer_->protect_until_it_stands(2)) << rhz_last_error();
  expect_restored(trainer_->revision());
}

TEST_F(Shards, WhatVaultsLostIsProtectedAgainAtOnce) {
  start(8);
  ASSERT_TRUE(trainer_->protect_until_it_stands(2)) << rhz_last_error();
  const uint64_t revision = trainer_->revision();
  std::mt19937_64 random(seed());
  uint32_t placement = 0;
  for (int round = 0; round < 4; ++round) {
    std::vector<uint32_t> hosts{0, 1, 2, 3, 4, 5, 6, 7};
    std::shuffle(hosts.begin(), hosts.end(), random);
    // One, where not all vaults were known yet when shards were placed anew: then a host has two.
    hosts.resize(std::min(trainer_->generation().stands, 2u));
    hosts_->kill(hosts);
    for (const uint32_t host : hosts) hosts_->start(host);
    // Whoever held nothing leaves nothing to be done.
    ASSERT_TRUE(trainer_->train_until([&] {
      const auto info = trainer_->generation();
      return info.lost == 0 && info.stands >= 1;
    })) << "round "
        << round;
    placement = trainer_->generation().placement;
    expect_restored(revision);
  }
  EXPECT_GT(placement, 0u);
  EXPECT_EQ(trainer_->generation().revision, revision);
}

TEST_F(Shards, TooFewHostsAreRefusedWithTheNumberThatItTakes) {
  start(2);
  trainer_->step();
  std::string text;
  ASSERT_TRUE(until([&] {
    const rhz_status status = trainer_->protect();
    text = rhz_last_error();
    return status == RHZ_ERR_ARGUMENT && text.find("there are 2") != std::string::npos;
  }));
  expect_has(text, {"4 + 2 shards, at most 2 of a stripe in one failure domain, need 3 domains",
                    "there are 2 (2 hosts)"});
  expect_refused(trainer_->restore(), RHZ_ERR_STATE_LOST, {"stage 0", "next source"});
}

TEST_F(Shards, FullVaultsAreSaidAndTheRevisionThatTheyHoldStays) {
  start(6, 0, kWords, "500KB");  // a shard of the newest revision and none of another
  ASSERT_TRUE(trainer_->protect_until_it_stands(2)) << rhz_last_error();
  const uint64_t held = trainer_->revision();
  trainer_->step();
  expect_refused(
      trainer_->protect(), RHZ_ERR_MEMORY,
      {"of at most 500000 bytes", "does not fit", "--shard-memory", "vaults that refused"});
  expect_restored(held);
  StageTrainer next(run_, address_, 1, kWords);
  expect_refused(next.restore(held + 1), RHZ_ERR_STATE_LOST, {"is sealed, not", "next source"});
}

TEST_F(Shards, ASnapshotThatIsStillBeingCopiedIsWaitedFor) {
  start(6, 0, 20 * kWords);
  ASSERT_TRUE(trainer_->protect_until_it_stands(2)) << rhz_last_error();
  trainer_->step(false);
  ASSERT_EQ(trainer_->protect(), RHZ_OK) << rhz_last_error();
  EXPECT_EQ(trainer_->generation().revision, trainer_->revision());
  expect_restored(trainer_->revision(), 20 * kWords);
}

TEST_F(Shards, BadCallsSayWhatIsWrong) {
  start(1);
  StageTrainer other(run_, address_, 1, kWords);
  auto params = sized<rhz_protect_params>();
  expect_refused(rhz_protect(other.comm(), &params), RHZ_ERR_STATE, {"rhz_comm_join"});
  params.stage = 4096;
  expect_refused(rhz_protect(trainer_->comm(), &params), RHZ_ERR_ARGUMENT, {"stage 4096"});
  params = sized<rhz_protect_params>();
  params.data_shards = 200;
  params.parity_shards = 100;
  expect_refused(rhz_protect(trainer_->comm(), &params), RHZ_ERR_ARGUMENT, {"256"});
  params = sized<rhz_protect_params>();
  params.first_slot = 2;
  params.slot_count = 2;
  expect_refused(rhz_protect(trainer_->comm(), &params), RHZ_ERR_ARGUMENT, {"slot 0", "stage 0"});
  params.struct_size = 0;
  expect_refused(rhz_protect(trainer_->comm(), &params), RHZ_ERR_ABI, {"struct_size"});
  // No snapshot yet.
  expect_refused(trainer_->protect(), RHZ_ERR_STATE_LOST, {"snapshot"});
  auto info = sized<rhz_generation_info>();
  expect_refused(rhz_generation(trainer_->comm(), 3, &info), RHZ_ERR_STATE_LOST, {"stage 3"});
  auto restore = sized<rhz_restore_shards_params>();
  restore.flags = 4;
  expect_refused(rhz_restore_shards(other.comm(), &restore, nullptr), RHZ_ERR_ARGUMENT, {"flags"});
}

TEST_F(Shards, OtherTensorsAndOtherRevisionsAreRefused) {
  start(6);
  ASSERT_TRUE(trainer_->protect_until_it_stands(2)) << rhz_last_error();
  StageTrainer larger(run_, address_, 1, 2 * kWords);
  expect_refused(larger.restore(), RHZ_ERR_MISMATCH, {"moments"});
  StageTrainer next(run_, address_, 1, kWords);
  expect_refused(next.restore(trainer_->revision() + 5), RHZ_ERR_STATE_LOST,
                 {"stage 0", "is sealed, not", "next source"});
}

TEST_F(Shards, TheRevisionBeforeTheNewestIsThereTooForARunThatGoesBack) {
  start(6);
  ASSERT_TRUE(trainer_->protect_until_it_stands(2)) << rhz_last_error();
  const uint64_t before = trainer_->revision();
  ASSERT_TRUE(trainer_->protect_until_it_stands(2)) << rhz_last_error();
  const rhz_generation_info info = trainer_->generation();
  EXPECT_EQ(info.revision, trainer_->revision());
  EXPECT_EQ(info.revision_before, before);
  hosts_->kill({1, 4});
  StageTrainer next(run_, address_, 1, kWords);
  for (const uint64_t revision : {before, info.revision}) {
    ASSERT_EQ(next.restore(revision), RHZ_OK) << rhz_last_error();
    EXPECT_TRUE(next.holds(revision));
  }
  ASSERT_TRUE(until([&] { return trainer_->generation().lost_before == 2; }));
}

TEST_F(Shards, ARestoreGoesOnToThemWhereTheOwnHostHasNothing) {
  start(6);
  StageTrainer early(run_, address_, 1, kWords);
  expect_refused(early.restore_slot(), RHZ_ERR_STATE_LOST,
                 {"no snapshot of slot 1", "no shards either", "next source"});
  ASSERT_TRUE(trainer_->protect_until_it_stands(2)) << rhz_last_error();
  const uint64_t revision = trainer_->revision();
  hosts_->kill({2, 5});
  StageTrainer next(run_, address_, 1, kWords);
  expect_refused(next.restore_slot(revision + 5), RHZ_ERR_STATE_LOST,
                 {"no snapshot of slot 1", "is sealed, not", "next source"});
  ASSERT_EQ(next.restore_slot(), RHZ_OK) << rhz_last_error();
  EXPECT_EQ(next.revision(), revision);
  EXPECT_TRUE(next.holds(revision));
  ASSERT_EQ(next.restore_slot(revision), RHZ_OK) << rhz_last_error();
  StageTrainer larger(run_, address_, 1, 2 * kWords);
  expect_refused(larger.restore_slot(), RHZ_ERR_MISMATCH, {"moments"});
}

TEST_F(Shards, ARestoreWhoseVaultIsGoneTakesThem) {
  start(6);
  ASSERT_TRUE(trainer_->protect_until_it_stands(2)) << rhz_last_error();
  const Environment vault("RHZ_VAULT", "rhizome-no-such-vault");
  StageTrainer next(run_, address_, 1, kWords);
  ASSERT_EQ(next.restore_slot(), RHZ_OK) << rhz_last_error();
  EXPECT_TRUE(next.holds(trainer_->revision()));
  hosts_->kill({0, 1, 2});
  expect_refused(next.restore_slot(), RHZ_ERR_UNREACHABLE, {"no shards either", "3 of 6 shards"});
}

TEST_F(Shards, APlanSeesThem) {
  start(6);
  ASSERT_TRUE(trainer_->protect_until_it_stands(2)) << rhz_last_error();
  auto params = sized<rhz_plan_params>();
  params.stages = 2;  // slot 1 is vacant
  const auto source = [&] {
    rhz_plan* plan = nullptr;
    auto stage = sized<rhz_stage_plan>();
    EXPECT_EQ(rhz_plan_make(trainer_->comm(), &params, &plan), RHZ_OK) << rhz_last_error();
    EXPECT_EQ(rhz_plan_stage_get(plan, 1, &stage), RHZ_OK) << rhz_last_error();
    rhz_plan_close(plan);
    return stage.source;
  };
  EXPECT_EQ(source(), static_cast<uint32_t>(RHZ_SOURCE_SHARDS));
  hosts_->kill({0, 1, 2});
  ASSERT_TRUE(until([&] { return trainer_->generation().lost == 3; }));
  rhz_plan* plan = nullptr;
  params.approximate = RHZ_APPROXIMATE_NEVER;
  expect_refused(rhz_plan_make(trainer_->comm(), &params, &plan), RHZ_ERR_STATE_LOST,
                 {"stage 1", "3 shards left of the 4"});
}

TEST_F(Shards, AWholeRackMayGo) {
  start(6, 3);
  // Two hosts of each of three racks: any one rack.
  ASSERT_TRUE(trainer_->protect_until_it_stands(2)) << rhz_last_error();
  hosts_->kill({0, 3});
  expect_restored(trainer_->revision());
}

TEST_F(Shards, VaultsThatAreFrozenDoNotHoldARestoreUpForLong) {
  start(6);
  ASSERT_TRUE(trainer_->protect_until_it_stands(2)) << rhz_last_error();
  for (const uint32_t host : {2u, 3u}) hosts_->signal(host, SIGSTOP);
  expect_restored(trainer_->revision());
  for (const uint32_t host : {2u, 3u}) hosts_->signal(host, SIGCONT);
}

TEST_F(Shards, AStateOfSeveralStripesComesBackWhileAVaultDies) {
  constexpr size_t kManyWords = size_t{6} << 20;  // 72 MiB: two stripes
  start(7, 0, kManyWords);
  ASSERT_TRUE(trainer_->protect_until_it_stands(2)) << rhz_last_error();
  hosts_->kill({0});
  expect_restored(trainer_->revision(), kManyWords);
  ASSERT_TRUE(trainer_->train_until([&] { return trainer_->generation().lost == 0; }));
  expect_restored(trainer_->revision(), kManyWords);
}

}  // namespace
}  // namespace rhz::test
