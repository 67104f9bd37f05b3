// What a user sees of vaults and protected stages: `rhizome status`, `rhizome vault`, `rhizome
// run`.
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>

#include "tests/integration/vault_hosts.h"

namespace rhz::test {
namespace {

class ProtectCli : public testing::Test {
 protected:
  ProtectCli()
      : run_("cli-" + std::to_string(getpid()) + "-" +
             testing::UnitTest::GetInstance()->current_test_info()->name()) {}
  void start(const std::string& options = "") {
    coordinator_ =
        std::make_unique<CliCoordinator>("--world 1 --max-world 4 --run-id " + run_ + options);
    hosts_ = std::make_unique<VaultHosts>(run_, coordinator_->address, 6, 3);
    hosts_->start_all();
    trainer_ = std::make_unique<StageTrainer>(run_, coordinator_->address, 0, 100'000, 5);
    trainer_->join();
  }
  std::string said(const std::string& command, int status = 0) {
    Cli cli(words(command));
    EXPECT_EQ(cli.end(), status) << cli.errors();
    return status == 0 ? cli.output() : cli.errors();
  }
  std::string status(const std::string& options = "") {
    return said("status --coordinator " + coordinator_->address + options);
  }

  const Folder folder_;
  const std::string run_;
  std::unique_ptr<CliCoordinator> coordinator_;
  std::unique_ptr<VaultHosts> hosts_;
  std::unique_ptr<StageTrainer> trainer_;
};

TEST_F(ProtectCli, StatusShowsVaultsGenerationsAndHowManyFailuresEachStands) {
  start();
  ASSERT_TRUE(trainer_->protect_until_it_stands(2));
  expect_has(status(), {"vault of", "h0", "r1", "256 MiB", "4+2", "any 2 hosts", "any 1 rack"});
  expect_has(status(" --json"), {"\"generations\":[{\"stage\":5", "\"data_shards\":4", "\"lost\":0",
                                 "\"stands_hosts\":2", "\"rack\":\"r2\""});
  hosts_->kill({0, 1, 2, 3});
  ASSERT_TRUE(until([&] { return status().find("nothing: ") != std::string::npos; }));
  expect_has(status(" --json"), {"\"recoverable\":false", "\"stands_hosts\":0"});
}

// Of a stage that nobody holds, in a run whose hosts have no vault for it here.
TEST_F(ProtectCli, PlanSeesShardsInTheVaultsOfOtherHosts) {
  start();
  ASSERT_TRUE(trainer_->protect_until_it_stands(2));
  const std::string revision = std::to_string(trainer_->revision());
  expect_has(said("plan --stages 2 --coordinator " + coordinator_->address),
             {"recovery revision=" + revision, "stage=0 source=none",
              "stage=1 source=shards revision=" + revision});
}

TEST_F(ProtectCli, AStageIsFetchedByWhoeverAsks) {
  start();
  const std::string fetch = "vault --run-id " + run_ + " --coordinator " + coordinator_->address;
  EXPECT_NE(said(fetch + " --fetch 5", 1).find("no sealed generation"), std::string::npos);
  ASSERT_TRUE(trainer_->protect_until_it_stands(2));
  expect_has(said(fetch + " --fetch 5"), {"fetched stage=5", "fetching_ms="});
  EXPECT_NE(said("vault --run-id other --fetch 5 --coordinator " + coordinator_->address, 1)
                .find("serves the run"),
            std::string::npos);
}

TEST_F(ProtectCli, ACoordinatorThatIsStartedAgainKnowsStagesAndHearsOfVaults) {
  const std::string log = folder_.file("log");
  start(" --log " + log);
  ASSERT_TRUE(trainer_->protect_until_it_stands(2));
  const uint64_t revision = trainer_->revision();
  const std::string address = coordinator_->address;
  coordinator_->command.signal(SIGKILL);
  coordinator_->command.end();
  coordinator_ = std::make_unique<CliCoordinator>(
      "--world 1 --max-world 4 --run-id " + run_ + " --log " + log, address);
  // Nobody is lost before all had the time to come back.
  StageTrainer next(run_, address, 1, 100'000, 5);
  ASSERT_EQ(next.restore(), RHZ_OK) << rhz_last_error();
  EXPECT_TRUE(next.holds(revision));
  EXPECT_EQ(trainer_->generation().placement, 0u);
  ASSERT_TRUE(trainer_->protect_until_it_stands(2));
}

TEST_F(ProtectCli, RunStartsVaultsOfSeveralHostsOnOneMachine) {
  const std::string tail = " -- /bin/sh -c";
  Cli first(words("run -n 1 --world 2 --vault --host a --run-id " + run_ + tail) +
            Words{"sleep 100"});
  const std::string address = listening(first);
  const std::string a = first.await("vault: shards at ").raw;
  Cli second(
      words("run -n 1 --vault --host b --rack r --run-id " + run_ + " --join " + address + tail) +
      Words{"echo vault is $RHZ_VAULT; sleep 100"});
  const std::string b = second.await("vault: shards at ").raw;
  expect_has(a, {"host=a", "rack=-"});
  expect_has(b, {"host=b", "rack=r"});
  ASSERT_TRUE(until([&] {
    const std::string all = said("status --coordinator " + address);
    return all.find("\na ") != std::string::npos && all.find("\nb ") != std::string::npos;
  }));
  second.signal(SIGTERM);
  second.end();
}

}  // namespace
}  // namespace rhz::test
