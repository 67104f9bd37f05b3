// `rhizome run`: what the supervisor does with its children.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <set>

#include "tests/integration/cli.h"

namespace rhz::test {
namespace {

Words shell(const std::string& script) { return {"--", "sh", "-c", script}; }

// Says "ready", and `then` once `signal` has come; the group of the script gets it as a whole.
Words until(const std::string& signal, const std::string& then) {
  return shell("trap '" + then + "' " + signal + "; echo ready; while :; do sleep 1; done");
}

TEST(Run, PrefixesWhatEachPeerSaysAndTellsItWhoItIs) {
  Cli run(words("run -n 4 --run-id blue") +
          shell("echo me=$RHZ_SLOT,$RHZ_LOCAL_RANK,$RHZ_WORLD,$RHZ_RUN_ID at=$RHZ_COORDINATOR; "
                "echo problem >&2; printf unfinished"));
  const std::string address = listening(run);
  EXPECT_EQ(run.end(), 0) << run.errors();
  const auto lines = run.rest();
  const std::set<std::string> said(lines.begin(), lines.end());
  for (int slot = 0; slot < 4; ++slot) {
    const std::string me = std::to_string(slot), prefix = "[slot " + me + "] ";
    EXPECT_TRUE(said.count(prefix + "me=" + me + "," + me + ",4,blue at=" + address)) << me;
    EXPECT_TRUE(said.count(prefix + "unfinished")) << me;
    expect_has(run.errors(), {prefix + "problem"});
  }
  EXPECT_TRUE(said.count("[coordinator] coordinator: stopped by SIGTERM"));
}

TEST(Run, EndsWithTheStatusOfTheFirstToFail) {
  Cli exits(words("run -n 2") + shell("exit $((RHZ_SLOT * 7))"));
  EXPECT_EQ(exits.end(), 7);
  expect_has(exits.errors(), {"slot 1 ended (exit status 7)", "slot 1 failed: exit status 7"});
  Cli killed(words("run -n 1") + shell("kill -KILL $$"));
  EXPECT_EQ(killed.end(), 128 + SIGKILL);
  expect_has(killed.errors(), {"slot 0 failed: signal 9 (Killed)"});
}

TEST(Run, StopsWhoWaitsForAFounderThatHasEnded) {
  for (const auto& [own, whole] : {std::pair{"9", 9}, {"0", 1}}) {
    const Words behind = {"--", "sh", "-c", std::string("test $RHZ_SLOT = 1 && exit ") + own + "; exec \"$@\"", "sh"};
    Cli run(words("run -n 3") + behind + trainer(5, 0));
    EXPECT_EQ(run.end(), whole);
    expect_has(run.errors(), {"slot 1 ended before the run was founded, and the other 2 wait for it in vain"});
  }
}

TEST(Run, StopsToRestartWhatFailsAtOnce) {
  Cli run(words("run -n 1 --restart --max-restarts 2") + shell("echo again; exit 3"));
  EXPECT_EQ(run.end(), 3);
  for (int time = 0; time < 3; ++time) run.await("[slot 0] again");
  EXPECT_EQ(run.output().find("again"), std::string::npos);
  expect_has(run.errors(), {"restart 2 of 2 in 0.2 s", "was restarted 2 times already"});
}

TEST(Run, RestartsAKilledTrainerInItsSlotAndTheRunGoesOn) {
  Cli run(words("run -n 4 --restart --") + trainer(300, 10));
  run.await("step=10 ");
  kill(run.peer(2), SIGKILL);
  const Line back = run.await("synced=1");
  expect_has(back.raw, {"[slot 2] joined slot=2 "});
  EXPECT_EQ(back.number("world"), 4u) << back.raw;
  std::set<std::string> digests;
  for (int peer = 0; peer < 4; ++peer) digests.insert(final_digest(run));
  EXPECT_EQ(digests.size(), 1u);
  EXPECT_EQ(run.end(), 0) << run.errors();
  expect_has(run.errors(), {"slot 2 ended (signal 9 (Killed)); restart 1 of 10 in 0.1 s"});
}

TEST(Run, LetsAJoinerMakeTheStepsThatItsMembersMadeWhileItPulled) {
  Cli run(words("run -n 3 --restart --") + trainer(200, 50), {"RHZ_SYNC_BULK_BYTES=0"});
  run.await("step=5 ");
  kill(run.peer(2), SIGKILL);
  const Line back = run.await("synced=1");
  EXPECT_GT(back.number("updates"), 0u) << back.raw;
  EXPECT_EQ(back.number("rest_bytes"), 0u) << "they had the members' bits: " << back.raw;
  const std::string digest = final_digest(run);
  for (int peer = 1; peer < 3; ++peer) EXPECT_EQ(final_digest(run), digest);
  EXPECT_EQ(run.end(), 0) << run.errors();
}

class PassedOn : public testing::TestWithParam<std::pair<const char*, int>> {};

TEST_P(PassedOn, ReachesEveryPeer) {
  const auto [name, number] = GetParam();
  Cli run(words("run -n 2 --restart") + until(name, std::string("echo got ") + name + "; exit 0"));
  for (int peer = 0; peer < 2; ++peer) run.await("ready");
  run.signal(number);
  EXPECT_EQ(run.end(), 0) << run.errors();
  for (const char* slot : {"[slot 0]", "[slot 1]"}) run.await(std::string(slot) + " got " + name);
}

INSTANTIATE_TEST_SUITE_P(Signals, PassedOn,
                         testing::Values(std::pair{"INT", SIGINT}, std::pair{"TERM", SIGTERM},
                                         std::pair{"HUP", SIGHUP}, std::pair{"USR1", SIGUSR1},
                                         std::pair{"USR2", SIGUSR2}),
                         [](const auto& info) { return std::string(info.param.first); });

TEST(Run, ToldToStopDoesNotRestartAndToldTwiceKillsAll) {
  Cli once(words("run -n 1 --restart") + until("TERM", "exit 5"));
  once.await("ready");
  once.signal(SIGTERM);
  EXPECT_EQ(once.end(), 5);
  Cli twice(words("run -n 1 --restart") + until("INT", "echo not yet"));
  twice.await("ready");
  twice.signal(SIGINT);
  twice.await("not yet");
  twice.signal(SIGINT);
  EXPECT_EQ(twice.end(), 128 + SIGKILL);
  expect_has(twice.errors(), {"stopping; once more kills all", "told to stop twice: killing all"});
}

TEST(Run, TakesItsPeersAlongWhenItIsKilled) {
  Cli run(words("run -n 1") + until("USR1", ""));
  run.await("ready");
  const pid_t peer = run.peer(0);
  run.signal(SIGKILL);
  EXPECT_EQ(run.end(), 128 + SIGKILL);
  EXPECT_TRUE(gone(peer));
}

TEST(Run, RestartsItsCoordinatorOnItsLogAndTheTrainersDoNotNotice) {
  const Folder folder;
  const Words log{"--log", folder.file("run.log")};
  Cli run(words("run -n 2 --restart") + log + Words{"--"} + trainer(200, 10));
  const std::string address = listening(run);
  run.await("step=5 ");
  kill(run.child("cmdline", "coordinator"), SIGKILL);
  const Line again = run.await("coordinator: listening on " + address);
  EXPECT_EQ(again.text("resumed"), "yes") << again.raw;
  EXPECT_EQ(again.number("epoch"), 1u) << again.raw;
  EXPECT_EQ(final_digest(run), final_digest(run));
  EXPECT_EQ(run.end(), 0) << run.errors();
  EXPECT_EQ(run.output().find("retry"), std::string::npos);
}

TEST(Run, WithoutALogDoesNotRestartTheCoordinatorAndSaysHowItWould) {
  Cli run(words("run -n 1 --restart") + until("USR1", "exit 0"), {}, kOneStream);
  run.await("ready");
  kill(run.child("cmdline", "coordinator"), SIGKILL);
  run.await("coordinator ended (signal 9 (Killed)); with --log FILE --restart");
  run.signal(SIGUSR1);
  EXPECT_EQ(run.end(), 0);
}

TEST(Join, BringsTheSecondHalfOfTheWorld) {
  CliCoordinator coordinator("--world 4");
  const Words join = words("run -n 2 --join " + coordinator.address);
  Cli first(join + words("--first-slot 2 --") + trainer(20));
  Cli second(join + Words{"--"} + trainer(20));
  std::set<std::string> digests, labels;
  for (Cli* run : {&first, &second})
    for (int peer = 0; peer < 2; ++peer) {
      const Line joined = run->await(" joined slot=");
      labels.insert(joined.raw.substr(0, joined.raw.find(']')) + "=" + joined.text("slot"));
      digests.insert(final_digest(*run));
    }
  EXPECT_EQ(digests.size(), 1u);
  EXPECT_TRUE(labels.count("[slot 2=2") && labels.count("[slot 3=3")) << first.errors();
  for (Cli* run : {&first, &second}) EXPECT_EQ(run->end(), 0) << run->errors();
  coordinator.command.signal(SIGTERM);
  EXPECT_EQ(coordinator.command.end(), 0);
}

TEST(Join, KeepsTheFirstHostsCoordinatorForThoseThatGoOn) {
  Cli first(words("run -n 1 --world 3 --") + trainer(5), {}, kOneStream);
  Cli second(words("run -n 2 --join " + listening(first) + " --first-slot 1 --") + trainer(80, 20));
  first.await("final step=5");
  first.await("the coordinator stays for those of other hosts");
  // Which needs a coordinator to be healed.
  kill(second.peer(1), SIGKILL);
  second.await("world=1");
  second.await("final step=80");
  EXPECT_EQ(second.end(), 128 + SIGKILL);
  EXPECT_EQ(first.end(), 0);
  EXPECT_EQ(second.output().find("evicted"), std::string::npos);
}

TEST(Advertise, IsTheAddressThatTheOthersConnectTo) {
  CliCoordinator coordinator("--world 2");
  // Listening everywhere, told to be at one of the many addresses of loopback.
  Cli run(words("run -n 2 --join " + coordinator.address + " --advertise 127.0.0.2 --") +
              trainer(1000000, 5),
          {"RHZ_LISTEN=0.0.0.0"});
  run.await("step=3 ");
  Cli status(words("status --json --coordinator " + coordinator.address));
  EXPECT_EQ(status.end(), 0) << status.errors();
  const std::string said = status.output();
  const size_t one = said.find("\"endpoints\":[\"127.0.0.2:");
  EXPECT_NE(one, std::string::npos) << said;
  EXPECT_NE(said.find("\"endpoints\":[\"127.0.0.2:", one + 1), std::string::npos) << said;
  run.signal(SIGTERM);
  EXPECT_EQ(run.end(), 128 + SIGTERM);
}

bool has_ipv6() {
  const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  const bool has =
      fd >= 0 && bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  if (fd >= 0) close(fd);
  return has;
}

TEST(Run, WorksOverTheLoopbackOfIPv6) {
  if (!has_ipv6()) GTEST_SKIP() << "no ::1 on this host";
  Cli run(words("run -n 2 --listen [::1]:0 --") + trainer(10));
  const std::string address = listening(run);
  expect_has(address, {"[::1]:"});
  EXPECT_EQ(final_digest(run), final_digest(run));
  EXPECT_EQ(run.end(), 0) << run.errors();
}

}  // namespace
}  // namespace rhz::test
