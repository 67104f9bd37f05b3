// `rhizome chaos`: real trainers under faults, and what it says when these do not do what they should.
#include <gtest/gtest.h>

#include <csignal>
#include <sstream>

#include "tests/integration/cli.h"

namespace rhz::test {
namespace {

// So few lines that they fit into a pipe which nobody reads before the end.
constexpr int kStepMs = 100;

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

TEST(Chaos, ATrainerThatEndsByItselfIsAFinding) {
  Cli chaos(words("chaos -n 2 --seed 1 --minutes 1 -- sh -c") + Words{"exit 3"});
  EXPECT_EQ(chaos.end(), 1);
  expect_has(chaos.errors(), {"OWN FAILURE: slot ", "ended by itself (exit status 3)", "FOUND: ", "FAILED"});
}

TEST(Chaos, ATrainerThatStandsStillIsAFindingWithItsStacks) {
  Cli chaos(words("chaos -n 2 --seed 1 --minutes 1 --stall-s 1 -- sh -c") + Words{"sleep 1000"});
  EXPECT_EQ(chaos.end(), 1);
  expect_has(chaos.errors(), {"HANG: slot 0", "not a member) has ended no op for 1 s", "stacks of process ", "FAILED"});
}

// Somebody else than `chaos` stops a peer for longer than the suspicion time: for all it knows, the run is wrong to go on without it.
TEST(Chaos, AnEvictionThatNoFaultExplainsIsAFinding) {
  Cli chaos(words("chaos -n 3 --seed 1 --minutes 1 --every-s 3000 --suspicion-ms 300 --") + trainer(1'000'000, kStepMs));
  chaos.await("step=5 ");
  const pid_t peer = chaos.peer(1);
  ASSERT_GT(peer, 0);
  kill(peer, SIGSTOP);
  EXPECT_EQ(chaos.end(), 1);
  expect_has(chaos.errors(), {"FALSE EVICTION: slot 1 was evicted although", "FAILED"});
}

}  // namespace
}  // namespace rhz::test
