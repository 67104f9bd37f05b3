// A vault and trainers that are killed: what the next one finds.
#include <gtest/gtest.h>

#include <csignal>
#include <random>

#include "tests/integration/cli.h"
#include "tests/integration/expect.h"
#include "tests/integration/local_run.h"

namespace rhz::test {
namespace {

constexpr uint64_t kMemory = 200, kUnreachable = 203, kMismatch = 103, kState = 102, kTimeout = 301,
                   kStateLost = 304;

Deadline soon() { return Clock::now() + kPatience; }

// A run that has a vault on this host, and one trainer after the other in its slot 0.
class Kept : public testing::Test {
 protected:
  Kept()
      : run_("kept-" + std::to_string(getpid()) + "-" +
             testing::UnitTest::GetInstance()->current_test_info()->name()) {}

  struct Coordinator {
    explicit Coordinator(const std::string& run, uint32_t world = 1) {
      auto params = sized<rhz_coordinator_params>();
      params.run_id = run.c_str();
      params.world = world;
      params.suspicion_ms = 1000 * kSlowness;
      EXPECT_EQ(rhz_coordinator_start(&params, &coordinator), RHZ_OK) << rhz_last_error();
    }
    ~Coordinator() { rhz_coordinator_stop(coordinator); }
    std::string address() const { return rhz_coordinator_address(coordinator); }
    rhz_coordinator* coordinator = nullptr;
  };

  void start_vault(const std::string& options = "") {
    vault_ = std::make_unique<Cli>(words("vault --run-id " + run_ + " " + options));
    name_ = vault_->await("vault: listening as ").raw;
    name_ = name_.substr(name_.find("as ") + 3);
    name_ = name_.substr(0, name_.find(' '));
  }
  std::unique_ptr<Process> trainer(const Coordinator& coordinator, uint64_t words, int slot) {
    return std::make_unique<Process>(
        Words{"/usr/bin/env", "RHZ_VAULT=" + name_, RHZ_TEST_ACTOR, "kept",
              "coordinator=" + coordinator.address(), "run=" + run_,
              "words=" + std::to_string(words), "slot=" + std::to_string(slot)},
        folder_.file("trainer" + std::to_string(slot) + ".err"));
  }
  // Its state line; the others it has said before that are kept.
  Line start_trainer(uint64_t words = 40'000) {
    coordinator_ = std::make_unique<Coordinator>(run_);
    trainer_ = trainer(*coordinator_, words, 0);
    return answer("state");
  }
  Line answer(const std::string& verb) { return answer(*trainer_, verb); }
  Line answer(Process& trainer, const std::string& verb) {
    if (auto line = trainer.await(verb, soon())) return *line;
    ADD_FAILURE() << "no \"" << verb << "\" from the trainer\n" << trainer.errors();
    return {};
  }
  Line ask(const std::string& command, const std::string& verb) {
    trainer_->tell(command);
    return answer(verb);
  }
  void train(int steps, const std::string& how = "snapshot=1") {
    ASSERT_EQ(ask("join", "joined").number("status"), kOk);
    trainer_->tell("train steps=" + std::to_string(steps) + " " + how);
    for (int i = 0; i < steps; ++i) {
      const Line step = answer("step");
      ASSERT_EQ(step.number("status") + step.number("copied"), kOk) << step.raw;
    }
    answer("trained");
  }
  void kill_trainer() {
    trainer_->signal(SIGKILL);
    ASSERT_TRUE(trainer_->wait(soon()));
  }
  void expect_attach(const Line& came, uint64_t status, const Words& parts) {
    EXPECT_EQ(came.number("attach"), status) << came.raw;
    expect_has(came.raw, parts);
  }
  std::string list() {
    Cli command(words("vault --list --run-id " + run_));
    EXPECT_EQ(command.end(), 0) << command.errors();
    return command.output();
  }

  const Folder folder_;
  const std::string run_;
  std::string name_;
  std::unique_ptr<Cli> vault_;
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<Process> trainer_;
};

TEST_F(Kept, AttachesToTheCurrentRevisionOfATrainerThatWasKilledBetweenUpdates) {
  start_vault();
  EXPECT_EQ(start_trainer().text("source"), "none");
  train(3, "snapshot=0");
  kill_trainer();
  const Line state = start_trainer();
  EXPECT_EQ(state.text("source"), "attach");
  EXPECT_EQ(state.number("revision"), 3u);
  EXPECT_EQ(state.number("right"), 1u);
  train(2, "snapshot=0");  // revisions go on where they were
  expect_has(list(), {"yes", "5 ", "whole"});
  kill_trainer();
  EXPECT_EQ(start_trainer().number("revision"), 5u);
}

TEST_F(Kept, RefusesATrainerThatDiedInsideAnUpdateAndRestoresItsSnapshot) {
  start_vault();
  start_trainer();
  train(3);
  ask("tear", "torn");
  expect_has(list(), {"in-update", "3,2"});
  kill_trainer();
  const Line state = start_trainer();
  expect_attach(answer("came"), kStateLost,
                {"slot 0", "died inside an update of revision 3",
                 "next source: the vault's snapshot of revision 3 (rhz_restore)"});
  EXPECT_EQ(state.text("source"), "restore");
  EXPECT_EQ(state.number("revision"), 3u);
  EXPECT_EQ(state.number("right"), 1u);
  train(1);
}

TEST_F(Kept, RefusesATrainerThatDiedBetweenAnUpdateAndItsCommit) {
  start_vault();
  start_trainer();
  train(2);
  ask("loiter", "loitering");
  kill_trainer();
  EXPECT_EQ(start_trainer().text("source"), "restore");
  expect_attach(answer("came"), kStateLost, {"between an update of revision 2 and the commit"});
}

// Whatever the moment, what the next trainer gets is a revision, all of it, and no older than the
// last snapshot.
TEST_F(Kept, GivesNothingButWholeRevisionsAfterKillsAtRandomPoints) {
  constexpr uint64_t kManyWords = 300'000;  // an update is a good part of a step
  constexpr int kKills = 100;
  start_vault();
  std::mt19937_64 random(seed());
  uint64_t attached = 0, restored = 0, sure = 0, sealed = 0;
  auto hear = [&](const Line& step) {
    EXPECT_EQ(step.number("copied"), kOk) << step.raw;
    sure = step.number("revision");
    if (sure % 4 == 0) sealed = sure;
  };
  Line state = start_trainer(kManyWords);
  // Until one has met an update, which is a matter of chance.
  int kill = 0;
  for (; kill < kKills || (restored == 0 && kill < 10 * kKills); ++kill) {
    ASSERT_EQ(ask("join", "joined").number("status"), kOk);
    trainer_->tell("train steps=0 snapshot=4");
    const uint64_t steps = kill == 0 ? 4 : 1 + random() % 4;  // there is a snapshot from then on
    for (uint64_t i = 0; i < steps; ++i) hear(answer("step"));
    const auto until = Clock::now() + std::chrono::microseconds(random() % 2000);
    for (std::optional<Line> step; Clock::now() < until && (step = trainer_->await("step", until));)
      hear(*step);
    kill_trainer();
    while (auto step = trainer_->await("step", Clock::now())) hear(*step);
    state = start_trainer(kManyWords);
    const Line came = answer("came");
    ASSERT_EQ(state.number("right"), 1u) << "after " << kill << " kills: " << state.raw << "\n"
                                         << came.raw;
    const bool attached_now = state.text("source") == "attach";
    ASSERT_GE(state.number("revision"), attached_now ? sure : sealed) << state.raw << "\n"
                                                                      << came.raw;
    ASSERT_LE(state.number("revision"), sure + 1) << state.raw << "\n" << came.raw;
    (attached_now ? attached : restored) += 1;
    sure = state.number("revision");
  }
  std::printf("kills=%d attached=%llu restored=%llu revision=%llu\n", kill,
              static_cast<unsigned long long>(attached), static_cast<unsigned long long>(restored),
              static_cast<unsigned long long>(sure));
  EXPECT_GT(attached, 0u);
  EXPECT_GT(restored, 0u);
}

// Members that went on have another revision: what was attached is brought up to theirs, and is
// marked while it is.
TEST_F(Kept, CatchesUpWithTheMembersAndIsKeptAgain) {
  start_vault();
  const Coordinator coordinator(run_, 2);
  std::unique_ptr<Process> trainers[2];
  for (int slot : {0, 1}) trainers[slot] = trainer(coordinator, 40'000, slot);
  auto both = [&](const std::string& command, const std::string& verb) {
    for (auto& each : trainers) each->tell(command);
    for (auto& each : trainers) EXPECT_EQ(answer(*each, verb).number("status"), kOk);
  };
  auto replace = [&](uint64_t expected) {
    trainers[1]->signal(SIGKILL);
    ASSERT_TRUE(trainers[1]->wait(soon()));
    trainers[0]->tell("train steps=1");
    answer(*trainers[0], "trained");
    trainers[0]->tell("admit world=1");
    answer(*trainers[0], "admitted");
    trainers[1] = trainer(coordinator, 40'000, 1);
    const Line state = answer(*trainers[1], "state");
    EXPECT_EQ(state.text("source"), "attach");
    EXPECT_EQ(state.number("revision"), expected) << state.raw;
    trainers[0]->tell("admit world=2");
    trainers[1]->tell("join");
    for (auto [who, verb] : {std::pair{0, "admitted"}, {1, "joined"}})
      EXPECT_EQ(answer(*trainers[who], verb).number("status"), kOk);
    trainers[1]->tell("show");
    const Line now = answer(*trainers[1], "state");
    EXPECT_EQ(now.number("revision"), expected + 1) << now.raw;
    EXPECT_EQ(now.number("right"), 1u);
  };
  both("join", "joined");
  both("train steps=2", "trained");
  replace(2);
  replace(3);
}

TEST_F(Kept, ProvesTheBytesByADigestThatWasTaken) {
  start_vault();
  start_trainer();
  train(2);
  ask("digest", "digest");
  kill_trainer();
  start_trainer();
  EXPECT_EQ(answer("attached").number("verified"), 1u);
  ask("spoil", "spoilt");  // outside any update: memory that went bad
  kill_trainer();
  EXPECT_EQ(start_trainer().text("source"), "restore");
  expect_attach(answer("came"), kStateLost,
                {"bytes are not those of revision 2", "snapshot of revision 2"});
}

TEST_F(Kept, RefusesOtherTensors) {
  start_vault();
  start_trainer(40'000);
  train(2);
  kill_trainer();
  EXPECT_EQ(start_trainer(40'002).text("source"), "none");
  expect_attach(answer("came"), kMismatch,
                {"\"moments\" is kept with another dtype or count: 20000"});
  EXPECT_EQ(answer("restored").number("status"), kMismatch);
}

TEST_F(Kept, GivesTheStateOfALivingTrainerToNobody) {
  start_vault();
  start_trainer();
  train(1);
  auto first = std::move(trainer_);
  auto coordinator = std::move(coordinator_);
  start_trainer();
  expect_attach(answer("came"), kState, {"still lives"});
}

// Who gave up on a vault that was frozen has not died.
TEST_F(Kept, GivesTheStateOfATrainerThatLostPatienceToNobody) {
  start_vault();
  start_trainer();
  train(1);
  vault_->signal(SIGSTOP);
  const Line step = ask("train steps=1 snapshot=1", "step");
  EXPECT_EQ(step.number("status"), kOk);
  EXPECT_EQ(step.number("copied"), kTimeout);
  expect_has(step.raw, {"does not answer within 2000 ms"});
  vault_->signal(SIGCONT);
  auto first = std::move(trainer_);
  auto coordinator = std::move(coordinator_);
  start_trainer();
  expect_attach(answer("came"), kState, {"still lives"});
  first->tell("train steps=2 snapshot=1");
  for (int step : {0, 1}) EXPECT_EQ(answer(*first, "step").number("copied"), kOk) << step;
}

TEST_F(Kept, AttachesOnceAndBeforeTheJoin) {
  start_vault();
  start_trainer();
  train(1);
  const Line again = ask("attach_again", "again");
  EXPECT_EQ(again.number("status"), kState);
  expect_has(again.raw, {"once, before rhz_comm_join"});
}

TEST_F(Kept, TrainsOnWithoutItsVaultAndSaysSo) {
  start_vault();
  start_trainer();
  train(2);
  vault_->signal(SIGKILL);
  EXPECT_EQ(vault_->end(), 128 + SIGKILL);
  trainer_->tell("train steps=2 snapshot=1");
  Line step = answer("step");
  EXPECT_EQ(step.number("status"), kOk);
  EXPECT_EQ(step.number("copied"), kUnreachable) << step.raw;
  expect_has(step.raw, {"the vault " + name_ + " is gone"});
  step = answer("step");
  EXPECT_EQ(step.number("revision"), 4u);
  expect_has(step.raw, {"no vault answers at " + name_});
  // One that is started again is given everything anew.
  start_vault();
  ask("train steps=1 snapshot=1", "step");
  expect_has(list(), {"5 ", "whole"});
  kill_trainer();
  EXPECT_EQ(start_trainer().number("revision"), 5u);
}

TEST_F(Kept, SaysWhenTheVaultIsFull) {
  start_vault("--memory 600KB");  // one buffer
  start_trainer();
  ASSERT_EQ(ask("join", "joined").number("status"), kOk);
  trainer_->tell("train steps=2 snapshot=1");
  EXPECT_EQ(answer("step").number("copied"), kOk);
  const Line step = answer("step");
  EXPECT_EQ(step.number("status"), kOk);
  EXPECT_EQ(step.number("copied"), kMemory) << step.raw;
  expect_has(step.raw, {"may hold 600000 bytes", "--memory"});
  expect_has(list(), {" 1 "});
}

TEST_F(Kept, GoesBackToASnapshotOfItsOwnWithoutAVault) {
  const Line state = start_trainer();
  EXPECT_EQ(state.text("source"), "none");
  expect_attach(answer("came"), kStateLost, {"RHZ_VAULT is not set"});
  train(3);
  ask("tear", "torn");
  const Line back = ask("back revision=2", "state");
  EXPECT_EQ(back.number("revision"), 2u) << back.raw;
  EXPECT_EQ(back.number("right"), 1u);
  EXPECT_EQ(ask("train steps=1 snapshot=1", "step").number("revision"), 3u);
  kill_trainer();
  EXPECT_EQ(start_trainer().text("source"), "none");
}

TEST_F(Kept, RestoresItsPartAndSaysWhichOneItIs) {
  start_vault();
  start_trainer();
  train(2, "snapshot=1 part=1 parts=3");
  ask("tear", "torn");
  kill_trainer();
  start_trainer();
  const Line restored = answer("restored");
  EXPECT_EQ(restored.number("status"), kOk) << restored.raw;
  EXPECT_EQ(restored.number("part"), 1u);
  EXPECT_EQ(restored.number("parts"), 3u);
}

TEST_F(Kept, LetsGoOfAStateWhoseTrainerLeavesInGoodOrder) {
  start_vault();
  start_trainer();
  train(1, "snapshot=0");
  EXPECT_EQ(ask("leave", "left").number("status"), kOk);
  start_trainer();
  expect_attach(answer("came"), kStateLost, {"nothing is kept for slot 0"});
}

TEST_F(Kept, APlanFromOutsideKnowsWhatTheVaultKeeps) {
  start_vault();
  start_trainer();
  train(3);
  auto plan = [&](const std::string& options, const std::string& stages = "1") {
    Cli command(words("plan --stages " + stages + " --coordinator " + coordinator_->address() +
                      " " + options));
    const int status = command.end();
    return (status == 0 ? "ok: " : "no: ") + command.output() + command.errors();
  };
  expect_has(plan(""), {"ok: recovery revision=3 exact=yes bytes=0", "stage=0 source=none"});
  expect_has(plan("--without 0"), {"ok: ", "stage=0 source=attach revision=3 exact=yes",
                                   "replica: no replica of the stage lives"});
  ask("tear", "torn");
  expect_has(plan("--without 0"), {"ok: ", "stage=0 source=vault revision=3",
                                   "attach: it died inside an update of its state"});
  expect_has(plan("--without 0 --checkpoints " + folder_.file("none"), "2"),
             {"no: ", "rhizome plan: ", "stage 1: nothing gives its state back",
              "disk: no checkpoint is complete"});
  expect_has(plan("--state much"), {"no: ", "\"much\" is no size"});
  expect_has(plan("--run-id other"), {"no: "});
}

TEST(PlanCommand, SaysHowItIsUsed) {
  Cli none(words("plan"));
  EXPECT_EQ(none.end(), 2);
  expect_has(none.errors(), {"--stages is required"});
  Cli odd(words("plan --stages 1 --approximate perhaps"));
  EXPECT_EQ(odd.end(), 2);
  expect_has(odd.errors(), {"perhaps"});
  Cli help(words("plan --help"));
  EXPECT_EQ(help.end(), 0);
  expect_has(help.output(), {"example: rhizome plan", "Nothing is done"});
}

TEST(VaultCommand, ListsItsHoldersAndEndsWithSigterm) {
  const std::string run = "vault-command-" + std::to_string(getpid());
  Cli vault(words("vault --memory 1MiB --run-id " + run));
  expect_has(vault.await("listening").raw, {"run=" + run, "memory=1 MiB"});
  Cli second(words("vault --run-id " + run));
  EXPECT_EQ(second.end(), 1);
  expect_has(second.errors(), {"has a vault on this host already"});
  Cli list(words("vault --list --run-id " + run));
  EXPECT_EQ(list.end(), 0);
  expect_has(list.output(), {"slot", "revision", "phase"});
  vault.signal(SIGTERM);
  EXPECT_EQ(vault.end(), 0);
  expect_has(vault.output(), {"stopped"});
  Cli missing(words("vault --list --run-id " + run));
  EXPECT_EQ(missing.end(), 1);
  expect_has(missing.errors(), {"no vault answers at"});
}

TEST(VaultCommand, RefusesASizeThatIsNone) {
  Cli vault(words("vault --memory lots"));
  EXPECT_EQ(vault.end(), 2);
  expect_has(vault.errors(), {"\"lots\" is no size"});
  Cli help(words("vault --help"));
  EXPECT_EQ(help.end(), 0);
  expect_has(help.output(), {"example: rhizome vault"});
}

// The supervisor starts it, keeps it through the deaths of trainers, starts it again, and ends it.
TEST(VaultOfARun, LivesAsLongAsTheRun) {
  const std::string run_id = "vault-of-a-run-" + std::to_string(getpid());
  Cli run(words("run -n 2 --restart --vault --vault-memory 64MiB --run-id " + run_id + " --") +
              trainer(200, 20),
          {}, kOneStream);
  expect_has(run.await("vault: listening").raw, {"[vault]", "memory=64 MiB"});
  run.await("step=20 ");
  const pid_t peer = run.peer(1);
  ASSERT_GT(peer, 0);
  Cli list(words("vault --list --run-id " + run_id));
  EXPECT_EQ(list.end(), 0) << list.errors();
  Cli other(words("run -n 1 --vault --run-id " + run_id + " --") + trainer(1));
  EXPECT_EQ(other.end(), 1);
  expect_has(other.errors(), {"has a vault on this host already", "--run-id of its own"});
  kill(peer, SIGKILL);
  run.await("restart 1 of");
  const pid_t vault = run.child("cmdline", std::string("\0vault\0", 7));
  ASSERT_GT(vault, 0);
  kill(vault, SIGKILL);
  expect_has(run.await("vault ended").raw, {"restart 1 of"});
  run.await("vault: listening");
  EXPECT_EQ(final_digest(run), final_digest(run));
  EXPECT_EQ(run.end(), 0) << run.errors();
  Cli after(words("vault --list --run-id " + run_id));
  EXPECT_EQ(after.end(), 1);
}

}  // namespace
}  // namespace rhz::test
