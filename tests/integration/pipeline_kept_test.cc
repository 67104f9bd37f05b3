// pipeline_lm under `rhizome run --vault`: a stage of which all peers were killed comes back
// exactly.
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "tests/integration/pipeline_runs.h"
#include "tests/integration/vault_hosts.h"

namespace rhz::test {
namespace {

class KeptPipeline : public testing::Test {
 protected:
  KeptPipeline() : run_(long_run(4, 1)) {}
  std::string with_vault(const std::string& more = "") const {
    return "--restart --vault --longest-pause-ms 20 --run-id kept-pipeline-" +
           std::to_string(getpid()) + "-" +
           testing::UnitTest::GetInstance()->current_test_info()->name() + " " + more;
  }
  void expect_undisturbed(Cli& command) {
    const PipelineEnds expected = ends_without_losses(run_), ends = ends_of(command, run_);
    EXPECT_EQ(ends.digests, expected.digests) << "it said\n" << command.output();
    EXPECT_EQ(ends.loss, expected.loss);
  }

  PipelineRun run_;
};

// None is left in a stage, and there is no snapshot: its memory did not die.
TEST_F(KeptPipeline, AttachesToTheMemoryOfALostStage) {
  Cli command(pipeline(run_, with_vault(), kUnhurried));
  command.await("[slot 2] step=5 ");  // its update is over
  kill(command.peer(2), SIGKILL);
  expect_has(command.await("[slot 2] recovered stage=2").raw, {"source=attach", "steps_lost=0"});
  expect_undisturbed(command);
}

TEST_F(KeptPipeline, GoesBackTogetherToTheSnapshotsOfOneRevision) {
  Cli command(pipeline(run_, with_vault(), kUnhurried + "--snapshot-every 5 --sources vault"));
  command.await("step=8 ");
  kill(command.peer(1), SIGKILL);
  expect_has(command.await("[slot 1] recovered stage=1").raw, {"source=vault", "step=5"});
  for (const char* slot : {"0", "2", "3"})
    expect_has(command.await(std::string("[slot ") + slot + "] went_back").raw,
               {"source=vault", "step=5"});
  expect_undisturbed(command);
}

// The first and the last stage at once, and again: neither has two neighbours.
TEST_F(KeptPipeline, BringsTwoStagesBackThatWereLostAtOnce) {
  Cli command(pipeline(run_, with_vault(), kUnhurried + "--snapshot-every 1"));
  for (const char* step : {"step=5 ", "step=15 "}) {
    command.await(step);
    const pid_t both[] = {command.peer(0), command.peer(3)};
    for (const pid_t peer : both) kill(peer, SIGKILL);
    for (const char* slot : {"0", "3"})
      command.await(std::string("[slot ") + slot + "] recovered stage=");
  }
  expect_undisturbed(command);
}

// Both replicas; the vault has what neither of them has any more.
TEST_F(KeptPipeline, BringsAllReplicasOfAStageBack) {
  run_ = long_run(2, 2);
  Cli command(pipeline(run_, with_vault(), kUnhurried + "--snapshot-every 1 --policy replay"));
  command.await("step=5 ");
  const pid_t both[] = {command.peer(2), command.peer(3)};
  for (const pid_t peer : both) kill(peer, SIGKILL);
  for (const char* slot : {"2", "3"})
    command.await(std::string("[slot ") + slot + "] recovered stage=1");
  expect_undisturbed(command);
}

// No vault on its own host, and no replica: its shards lie in those of three others.
TEST_F(KeptPipeline, TakesALostStageFromShardsInTheVaultsOfOtherHosts) {
  run_.steps = 120;
  const std::string run = "kept-pipeline-shards-" + std::to_string(getpid());
  Cli command(
      pipeline(run_, "--restart --longest-pause-ms 20 --run-id " + run,
               kUnhurried + "--snapshot-every 40 --protect-every 40 --sources shards,vault"),
      {"RHZ_SHARDS=2+1"});
  const std::string address = listening(command);
  VaultHosts hosts(run, address, 3);
  hosts.start_all();
  const auto status = [&] {
    Cli cli(words("status --json --coordinator " + address));
    EXPECT_EQ(cli.end(), 0) << cli.errors();
    return cli.output();
  };
  ASSERT_TRUE(until([&] { return status().find("[{\"stage\":0") != std::string::npos; }));
  // Members that have made no step since have nothing to go back from.
  const std::string key = "\"revision\":", now = status();
  const uint64_t sealed = std::stoull(now.substr(now.find(key) + key.size()));
  command.await("[slot 1] step=" + std::to_string(sealed + 2) + " ");
  kill(command.peer(0), SIGKILL);
  const Line back = command.await("[slot 0] recovered stage=0");
  expect_has(back.raw, {"source=shards"});
  EXPECT_EQ(back.number("step") % 40, 0u) << back.raw;
  expect_has(command.await("[slot 1] went_back").raw, {"step=" + back.text("step")});
  expect_undisturbed(command);
}

// Neither a vault nor a replica: the stage behind it has made each of its updates too.
TEST_F(KeptPipeline, TakesALostStageFromWhoeverShadowsIt) {
  Cli command(pipeline(run_, "--restart --longest-pause-ms 20", kUnhurried + "--shadow 1"));
  command.await("step=5 ");
  kill(command.peer(3), SIGKILL);
  expect_has(command.await("[slot 3] recovered stage=3").raw, {"source=shadow", "from_slot=0"});
  command.await("step=15 ");
  const pid_t two[] = {command.peer(0), command.peer(2)};
  for (const pid_t peer : two) kill(peer, SIGKILL);
  for (const char* slot : {"0", "2"})
    expect_has(command.await(std::string("[slot ") + slot + "] recovered stage=").raw,
               {"source=shadow"});
  expect_undisturbed(command);
}

// No vault, no replica, an end of the pipeline: what is on the disk comes last, and is exact.
TEST_F(KeptPipeline, GoesBackToACheckpointOnDiskWhereNothingElseServes) {
  const Folder folder;
  Cli command(pipeline(
      run_, "--restart --longest-pause-ms 20",
      kUnhurried + "--checkpoint-every 4 --checkpoint-folder " + folder.file("checkpoints")));
  command.await("step=11 ");
  kill(command.peer(3), SIGKILL);
  const Line back = command.await("[slot 3] recovered stage=3");
  expect_has(back.raw, {"source=disk"});
  EXPECT_EQ(back.number("step") % 4, 0u) << back.raw;
  EXPECT_GE(back.number("step"), 4u) << back.raw;
  expect_has(command.await("[slot 0] went_back").raw, {"source=disk"});
  expect_undisturbed(command);
}

// Nothing is on the disk yet: the seed gives the start back.
TEST_F(KeptPipeline, BeginsAnewWhereNoCheckpointIsComplete) {
  const Folder folder;
  Cli command(pipeline(
      run_, "--restart --longest-pause-ms 20",
      kUnhurried + "--checkpoint-every 1000 --checkpoint-folder " + folder.file("checkpoints")));
  for (const char* step : {"step=5 ", "step=15 "}) {
    command.await(step);
    kill(command.peer(0), SIGKILL);
    expect_has(command.await("[slot 0] recovered stage=0").raw, {"source=disk", "step=0"});
    expect_has(command.await("[slot 2] went_back").raw, {"source=disk", "step=0"});
  }
  expect_undisturbed(command);
}

// Not for ever to one that nobody can load.
TEST_F(KeptPipeline, GoesBackBehindACheckpointThatCannotBeRead) {
  const Folder folder;
  const std::string root = folder.file("checkpoints");
  run_.steps = 110;
  Cli command(pipeline(run_, "--restart --longest-pause-ms 20",
                       "--min-step-ms 50 --checkpoint-every 60 --checkpoint-folder " + root));
  const std::string revision = root + "/revision-00000000000000000061";
  ASSERT_TRUE(until([&] { return std::filesystem::exists(revision + "/manifest.json"); }));
  for (const auto& file : std::filesystem::directory_iterator(revision))
    if (file.path().extension() == ".safetensors") std::filesystem::resize_file(file.path(), 1000);
  kill(command.peer(3), SIGKILL);
  expect_has(command.await("[slot 3] not_loaded stage=3").raw, {"revision=61"});
  expect_has(command.await("[slot 3] recovered stage=3").raw, {"source=disk", "step=0"});
  expect_undisturbed(command);
}

TEST_F(KeptPipeline, AveragesWhereItIsToldToTakeNothingElse) {
  Cli command(pipeline(run_, with_vault(), kUnhurried + "--snapshot-every 1 --sources average"));
  command.await("step=5 ");
  kill(command.peer(1), SIGKILL);
  expect_has(command.await("[slot 1] recovered stage=1").raw, {"source=average", "from=0,2"});
  ends_of(command, run_);
}

// One text, and nobody is started again to find the same.
TEST_F(KeptPipeline, EndsTheRunWhereNothingGivesAStageBack) {
  Cli command(pipeline(run_, with_vault(), kUnhurried + "--sources vault,average"), {}, kOneStream);
  command.await("step=5 ");
  kill(command.peer(0), SIGKILL);
  expect_has(command.await("restart").raw, {"slot 0 ended", "restart 1 of"});
  expect_has(command.await("stage 0 is lost").raw, {"--order swapped", "--replicas"});
  expect_has(command.await("nobody is started again").raw, {"exit status 65"});
  EXPECT_EQ(command.end(), 65);
  for (const std::string& line : command.rest()) {
    EXPECT_EQ(line.find("stage 0 is lost"), std::string::npos) << line;
    EXPECT_EQ(line.find("restart 1 of"), std::string::npos) << line;
  }
}

TEST_F(KeptPipeline, RefusesSourcesThatThereAreNot) {
  Cli command(words("run -n 1 --") + Words{RHZ_TEST_PIPELINE_LM} + words("--sources vault,moon"),
              {}, kOneStream);
  expect_has(command.await("pipeline_lm: ").raw, {"--sources", "--help"});
  EXPECT_EQ(command.end(), 2);
}

}  // namespace
}  // namespace rhz::test
