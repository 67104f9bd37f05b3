// `rhizome chaos`: real trainers under faults, and what it says when these do not do what they should.
#include <gtest/gtest.h>
#include <poll.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <sstream>

#include "tests/integration/cli.h"
#include "tests/spinner.h"

namespace rhz::test {
namespace {

// So few lines that they fit into a pipe which nobody reads before the end.
constexpr int kStepMs = 100;

// Peers that are a line of a shell.  What a run with findings keeps goes to a folder of the test's own.
class ChaosOf : public testing::Test {
 protected:
  Cli run(const std::string& options, const std::string& script) {
    return Cli(words("chaos " + options + " -- sh -c") + Words{script}, {"TMPDIR=" + folder_.path()});
  }
  // A line of a ledger with this in it, and then nothing.
  static std::string tells(const std::string& rest) { return "echo \"ledger op=1 outcome=0 " + rest + "\"; exec sleep 1000"; }
  const Folder folder_;
};

// A trainer of ours, whose findings go to that folder.
Cli chaos_of_ours(const std::string& options, const Folder& folder) {
  return Cli(words("chaos " + options + " --") + trainer(1'000'000, kStepMs), {"TMPDIR=" + folder.path()});
}

// Once the run trains.
pid_t training_peer(Cli& chaos, int slot) {
  chaos.await("step=5 ");
  return chaos.peer(slot);
}

TEST(Chaos, ATrainerOfOursLivesThroughAllKindsOfFaults) {
  Cli chaos(words("chaos -n 4 --seed 7 --minutes 0.2 --every-s 0.5 --") + trainer(1'000'000, kStepMs));
  EXPECT_EQ(chaos.end(), 0) << chaos.errors();
  expect_has(chaos.errors(), {"the faults begin", "SIGKILL of slot", "SIGSTOP of slot", "SIGKILL of the coordinator", "is let go",
                              "every peer has to come back", "rhizome chaos: seed 7, 4 peers: ", "ok: 0 hangs, 0 false evictions"});
}

TEST(Chaos, TheSeedSaysWhatStrikesWhen) {
  const auto strikes = [](const std::string& seed) {
    Cli chaos(words("chaos -n 2 --seed " + seed + " --minutes 0.05 --every-s 0.4 --faults pause,slow --") + trainer(1'000'000, kStepMs));
    EXPECT_EQ(chaos.end(), 0) << chaos.errors();
    std::string found, line;
    std::istringstream said(chaos.errors());
    while (std::getline(said, line)) {
      const size_t at = line.find(" for ");
      if (at != line.npos && line.find(" of slot ") != line.npos) found += line.substr(at) + ";";
      if (found.size() > 40) break;
    }
    return found.substr(0, 40);
  };
  const std::string once = strikes("11");
  EXPECT_FALSE(once.empty());
  EXPECT_EQ(once, strikes("11"));
  EXPECT_NE(once, strikes("12"));
}

TEST_F(ChaosOf, ATrainerThatEndsByItselfFindsItsFailure) {
  Cli chaos = run("-n 2 --seed 1", "exit 3");
  EXPECT_EQ(chaos.end(), 1);
  expect_has(chaos.errors(), {"OWN FAILURE: slot ", "ended by itself (exit status 3)", "FOUND: ", "FAILED"});
}

TEST_F(ChaosOf, ATrainerThatStandsStillFindsAHangWithItsStacks) {
  Cli chaos = run("-n 2 --seed 1 --stall-s 1", "sleep 1000");
  EXPECT_EQ(chaos.end(), 1);
  expect_has(chaos.errors(), {"HANG: slot 0", "not a member) has ended no op for 1 s", "stacks of process ", "FAILED"});
}

// Somebody else than `chaos` stops a peer for longer than the suspicion time: for all it knows, the run is wrong to go on without it.
TEST(Chaos, AnEvictionThatNoFaultExplainsIsAFinding) {
  const Folder folder;
  Cli chaos = chaos_of_ours("-n 3 --seed 1 --minutes 1 --every-s 3000 --suspicion-ms 300", folder);
  const pid_t peer = training_peer(chaos, 1);
  ASSERT_GT(peer, 0);
  kill(peer, SIGSTOP);
  EXPECT_EQ(chaos.end(), 1);
  expect_has(chaos.errors(), {"FALSE EVICTION: slot 1 was evicted although", "FAILED"});
}

// As above, and the machine stands still for whoever watches as well.
TEST(Chaos, AnEvictionBehindAStandstillOfTheMachineIsADoubt) {
  const Folder folder;
  Cli chaos = chaos_of_ours("-n 3 --seed 1 --minutes 0.1 --every-s 3000 --suspicion-ms 300", folder);
  const std::string coordinator = listening(chaos);
  const pid_t peer = training_peer(chaos, 1);
  ASSERT_GT(peer, 0);
  chaos.signal(SIGSTOP);
  kill(peer, SIGSTOP);
  Cli(words("status --watch --coordinator " + coordinator)).await("members=2 ");
  chaos.signal(SIGCONT);
  kill(peer, SIGCONT);
  EXPECT_EQ(chaos.end(), 3) << chaos.errors();
  expect_has(chaos.errors(), {"DOUBT: slot 1 was evicted, and this machine had stood still for", "INCONCLUSIVE"});
}

// It gets no core for longer than the suspicion time, as can happen beside others that run.
TEST(Chaos, AnEvictionOfAPeerThatGotNoCoreIsADoubt) {
  const Folder folder;
  Cli chaos = chaos_of_ours("-n 3 --seed 1 --minutes 0.15 --every-s 3000 --suspicion-ms 600", folder);
  const std::string coordinator = listening(chaos);
  const pid_t peer = training_peer(chaos, 1);
  ASSERT_GT(peer, 0);
  {
    const OnOneCore crowded;
    for (const auto& thread : std::filesystem::directory_iterator("/proc/" + std::to_string(peer) + "/task")) {
      const auto id = static_cast<pid_t>(std::stol(thread.path().filename().string()));
      const sched_param none{};
      ASSERT_EQ(sched_setaffinity(id, sizeof crowded.core(), &crowded.core()), 0);
      ASSERT_EQ(sched_setscheduler(id, SCHED_IDLE, &none), 0);
    }
    const std::array<Spinner, 6> others;
    Cli(words("status --watch --coordinator " + coordinator)).await("members=2 ");
  }
  EXPECT_EQ(chaos.end(), 3) << chaos.errors();
  expect_has(chaos.errors(), {"DOUBT: slot 1 was evicted, and it, or the coordinator, had waited for a core for", "INCONCLUSIVE"});
}

// The length of a fault.
void lasts(int ms) { (void)poll(nullptr, 0, ms); }

// Everything stands still for longer than the patience; whoever watches goes on first.
TEST(Chaos, AStandstillOfTheMachineIsNoHang) {
  const Folder folder;
  Cli chaos = chaos_of_ours("-n 2 --seed 1 --minutes 0.05 --every-s 0.5 --faults pause --stall-s 1 --suspicion-ms 20000", folder);
  chaos.await("step=5 ");
  const pid_t peers[] = {chaos.peer(0), chaos.peer(1)};
  chaos.signal(SIGSTOP);
  for (const pid_t peer : peers) kill(peer, SIGSTOP);
  lasts(1500);
  chaos.signal(SIGCONT);
  lasts(200);
  for (const pid_t peer : peers) kill(peer, SIGCONT);
  EXPECT_EQ(chaos.end(), 0) << chaos.errors();
  EXPECT_EQ(chaos.errors().find("HANG"), std::string::npos) << chaos.errors();
}

TEST_F(ChaosOf, PeersWhoseResultsDifferFindsWrongBitsAndKeepsWhatTheySaid) {
  Cli chaos = run("-n 2 --seed 1", tells("digest=$RHZ_SLOT contributors=0,1"));
  EXPECT_EQ(chaos.end(), 1);
  expect_has(chaos.errors(), {"WRONG BITS: op 1: slot ", "has outcome=0 digest=", "FOUND: op 1", "FAILED", "are kept in " + folder_.path()});
  size_t logs = 0, ledgers = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder_.path())) {
    logs += file.path().filename() == "chaos.log";
    ledgers += file.path().filename() == "ledger.txt" && file.file_size() > 0;
  }
  EXPECT_EQ(logs, 1u);
  EXPECT_EQ(ledgers, 1u);
}

TEST_F(ChaosOf, APeerThatFindsWrongElementsItselfFindsWrongBits) {
  Cli chaos = run("-n 2 --seed 1", tells("digest=a contributors=0,1 wrong=$RHZ_SLOT"));
  EXPECT_EQ(chaos.end(), 1);
  expect_has(chaos.errors(), {"WRONG BITS: slot 1 has op 1 with 1 wrong elements", "FAILED"});
}

TEST_F(ChaosOf, AnOpThatTookLongerThanItsBoundIsAFinding) {
  Cli chaos = run("-n 2 --seed 1 --op-bound-s 10", tells("digest=a contributors=0,1 us=11000000"));
  EXPECT_EQ(chaos.end(), 1);
  expect_has(chaos.errors(), {"SLOW OP: op 1 took slot ", "11.000 s, where 10.", "FAILED"});
}

// As the kernel does for want of memory, say.  The run goes on without a finding, and shows nothing.
TEST(Chaos, APeerThatSomebodyElseKillsMakesTheRunInconclusive) {
  const Folder folder;
  Cli chaos = chaos_of_ours("-n 3 --seed 1 --minutes 0.02 --every-s 3000", folder);
  const pid_t peer = training_peer(chaos, 1);
  ASSERT_GT(peer, 0);
  kill(peer, SIGKILL);
  EXPECT_EQ(chaos.end(), 3) << chaos.errors();
  expect_has(chaos.errors(), {"DOUBT: slot 1 was killed by somebody else", "INCONCLUSIVE"});
}

// One step, and none ever again, while no coordinator lives for as long as the patience is.
TEST(Chaos, AHangIsFoundAlthoughTheCoordinatorDiesAgainAndAgain) {
  const Folder folder;
  Cli chaos(words("chaos -n 2 --seed 2 --minutes 10 --every-s 0.2 --stall-s 2 --faults coordinator --") + Words{RHZ_TEST_CHAOS_PEER, "--pace-ms", "3600000"},
            {"TMPDIR=" + folder.path()});
  EXPECT_EQ(chaos.end(), 1);
  expect_has(chaos.errors(), {"SIGKILL of the coordinator", "HANG: slot 0 (process ", "a member) has ended no op for 2 s", "FAILED"});
}

// It takes more than 16 MiB in all while strangers are at its port, each time less; the others, who do the same work, do not.
TEST(Chaos, APeerThatGrowsUnderGarbageIsAFinding) {
  if (kSanitized) GTEST_SKIP() << "memory is the sanitizer's";
  const Folder folder;
  const Words leaking{"sh", "-c", "exec \"$0\" \"$@\" > /dev/null", RHZ_TEST_CHAOS_PEER, "--pace-ms", "20", "--leak-mib-per-s", "7", "--leak-slot", "1"};
  Cli chaos(words("chaos -n 2 --seed 3 --minutes 1 --every-s 0.5 --faults garbage --") + leaking, {"TMPDIR=" + folder.path()});
  EXPECT_EQ(chaos.end(), 1) << chaos.errors();
  expect_has(chaos.errors(), {"MEMORY: slot 1 grew by ", "FOUND: slot 1 grew", "FAILED"});
}

TEST(Chaos, AKindThatStruckLessOftenThanItHadToIsNoSuccess) {
  Cli chaos(words("chaos -n 2 --seed 11 --minutes 0.01 --every-s 0.2 --faults pause --require pause,slow=2 --") + trainer(1'000'000, kStepMs));
  EXPECT_EQ(chaos.end(), 1);
  expect_has(chaos.errors(), {"TOO FEW: slow: 0, where 2 are required", "FAILED"});
  EXPECT_EQ(chaos.errors().find("TOO FEW: pause"), std::string::npos) << chaos.errors();
}

// Two pauses take longer than the time that is asked for.
TEST(Chaos, GoesOnUntilWhatIsRequiredHasStruck) {
  Cli chaos(words("chaos -n 2 --seed 12 --minutes 0.01 --every-s 0.6 --faults pause --require pause=2 --") + trainer(1'000'000, kStepMs));
  EXPECT_EQ(chaos.end(), 0) << chaos.errors();
}

TEST(Chaos, RefusesARequirementThatItDoesNotUnderstand) {
  for (const std::string wrong : {"thunder", "kill=", "kill=-1"}) {
    Cli chaos(words("chaos -n 2 --require " + wrong + " -- true"));
    EXPECT_EQ(chaos.end(), 2) << chaos.errors();
    expect_has(chaos.errors(), {"--require: "});
  }
}

}  // namespace
}  // namespace rhz::test
