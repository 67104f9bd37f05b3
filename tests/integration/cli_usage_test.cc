// Command lines, good and bad: what is said, and the exit status.  2: the command line was wrong.
#include <gtest/gtest.h>

#include <fstream>

#include "tests/integration/cli.h"

namespace rhz::test {
namespace {

struct Usage {
  const char* command;
  Words said;
};

class Help : public testing::TestWithParam<const char*> {};

TEST_P(Help, ShowsAnExampleOfTheCommand) {
  const std::string command = GetParam();
  Cli help(words(command + " --help"));
  EXPECT_EQ(help.end(), 0) << help.errors();
  const std::string said = help.output();
  const size_t example = said.find("example: ");
  ASSERT_NE(example, std::string::npos) << said;
  EXPECT_NE(said.find("rhizome " + command, example), std::string::npos) << said;
  EXPECT_EQ(help.errors(), "");
}

INSTANTIATE_TEST_SUITE_P(Commands, Help,
                         testing::Values("", "coordinator", "run", "chaos", "status", "plan", "bench",
                                         "bench allreduce", "bench recovery"));

TEST(Version, TellsWhatThisBuildHas) {
  Cli version({"--version"});
  EXPECT_EQ(version.end(), 0);
  expect_has(version.output(),
             {"version=", "protocol=", "compiler=", "kernels=", "transports=", "algorithms="});
}

class Refused : public testing::TestWithParam<Usage> {};

TEST_P(Refused, WithAReasonBeforeAnythingStarts) {
  Cli command(words(GetParam().command));
  EXPECT_EQ(command.end(), 2);
  expect_has(command.errors(), GetParam().said);
  EXPECT_EQ(command.errors().rfind("rhizome", 0), 0u) << command.errors();
  EXPECT_EQ(command.output(), "");
}

INSTANTIATE_TEST_SUITE_P(
    Commands, Refused,
    testing::Values(Usage{"", {"say which command", "coordinator, run, chaos, status, plan, vault, bench;"}},
                    Usage{"frob", {"no command \"frob\"", "coordinator, run, chaos, status, plan, vault, bench;"}},
                    Usage{"bench", {"rhizome bench: say which command", "allreduce, recovery, convergence, attach, snapshot;"}},
                    Usage{"bench frob", {"rhizome bench: there is no command \"frob\""}},
                    Usage{"status --frob", {"rhizome status: ", "--frob", "rhizome status --help"}},
                    Usage{"status -- ls", {"only `rhizome run` and `rhizome chaos` take a command after --"}}));

INSTANTIATE_TEST_SUITE_P(
    Chaos, Refused,
    testing::Values(Usage{"chaos -- true", {"--peers is required"}}, Usage{"chaos -n 1 -- true", {"--peers", "1 not in range"}},
                    Usage{"chaos -n 2", {"say what to run after --"}},
                    Usage{"chaos -n 2 --faults kill,frob -- true", {"there is no fault \"frob\"; there are kill, kill-several"}},
                    Usage{"chaos -n 2 --every-s 0 -- true", {"--every-s", "0 not in range"}}));

INSTANTIATE_TEST_SUITE_P(
    Run, Refused,
    testing::Values(
        Usage{"run -- true", {"--peers is required"}},
        Usage{"run -n 2", {"say what to run after --"}},
        Usage{"run -n 2 --", {"say what to run after --"}},
        Usage{"run -n 2 ./trainer", {"unexpected \"./trainer\"", "come after --"}},
        Usage{"run -n 2 --restrat -- true", {"unexpected \"--restrat\""}},
        Usage{"run -n 0 -- true", {"--peers", "0 not in range", "1024"}},
        Usage{"run -n 1025 -- true", {"1025 not in range"}},
        Usage{"run -n 99999999999999999999 -- true", {"99999999999999999999 not in range"}},
        Usage{"run -n -3 -- true", {"-3 not in range"}},
        Usage{"run -n four -- true", {"--peers", "four"}},
        Usage{"run -n 2 --world 1 -- true", {"--world must not be below -n"}},
        Usage{"run -n 2 --join nonsense -- true", {"'nonsense' is no address", "HOST:PORT"}},
        Usage{"run -n 2 --join 127.0.0.1:99999 -- true", {"'127.0.0.1:99999' is no address"}},
        Usage{"run -n 2 --listen 127.0.0.1 -- true", {"'127.0.0.1' is no address"}},
        Usage{"run -n 2 --first-slot 1 -- true", {"--first-slot requires --join"}},
        Usage{"run -n 2 --join [::1]:7 --first-slot -2 -- true", {"--first-slot"}}));

INSTANTIATE_TEST_SUITE_P(
    Coordinator, Refused,
    testing::Values(
        Usage{"coordinator", {"--world is required"}},
        Usage{"coordinator --world 0", {"world is 0"}},
        Usage{"coordinator --world 5000000", {"world is 5000000", "at most 4096"}},
        Usage{"coordinator --world 4 --max-world 2", {"max_world", "(4)"}},
        Usage{"coordinator --world 4 --min-world 5", {"min_world"}},
        Usage{"coordinator --world 4 --suspicion-ms 1", {"suspicion_ms", "50"}},
        Usage{"coordinator --world 4 --profile moon", {"--profile", "moon", "lan", "wan"}},
        Usage{"coordinator --world 4 --listen nonsense", {"'nonsense' is no address"}},
        Usage{"status --coordinator nonsense", {"'nonsense' is no address", "HOST:PORT"}}));

INSTANTIATE_TEST_SUITE_P(
    Bench, Refused,
    testing::Values(
        Usage{"bench allreduce --bytes 12XB", {"\"12XB\" is no size", "64MiB"}},
        Usage{"bench allreduce --bytes 4KiB,", {"\"4KiB,\" is no size"}},
        Usage{"bench allreduce --bytes -1", {"\"-1\" is no size"}},
        Usage{"bench allreduce --bytes 99999999999999999999", {"is no size"}},
        Usage{"bench allreduce --bytes 0", {"0 bytes"}},
        Usage{"bench allreduce --bytes 7", {"7 bytes are no whole number of f32"}},
        Usage{"bench allreduce --bytes 17GiB", {"up to 16 GiB"}},
        Usage{"bench allreduce -n 0", {"-n must be from 1 to 32"}},
        Usage{"bench allreduce -n 33", {"-n must be from 1 to 32"}},
        Usage{"bench allreduce --dtype f8", {"unknown dtype \"f8\"", "bf16"}},
        Usage{"bench allreduce --redop mean", {"unknown reduction \"mean\"", "avg"}},
        Usage{"bench allreduce --redop bxor", {"bxor is not defined for f32"}},
        Usage{"bench allreduce --rebuild maybe", {"unknown rebuild mode \"maybe\"", "keep"}},
        Usage{"bench allreduce --transport pigeon", {"the transport \"pigeon\" is none", "tcp", "ucx"}},
        Usage{"bench recovery --fault frob", {"--fault", "frob", "kill", "stop"}},
        Usage{"bench recovery --bytes 4KiB,8KiB", {"\"4KiB,8KiB\" is no size"}},
        Usage{"bench recovery -n 1", {"-n must be at least 2"}},
        Usage{"bench recovery --reps 0", {"--reps must be at least 1"}},
        Usage{"bench recovery --kill-phase last", {"--kill-phase", "first-half"}}));

TEST(BadInput, ATransportOfTheEnvironmentIsCheckedToo) {
  Cli bench(words("bench allreduce -n 2 --bytes 4KiB"), {"RHZ_TRANSPORT=rdma"});
  EXPECT_EQ(bench.end(), 2);
  expect_has(bench.errors(), {"transport \"rdma\"", "auto, tcp, shm, ucx, ofi"});
}

TEST(BadInput, AProgramThatDoesNotExistIsNamed) {
  Cli run(words("run -n 2 --restart -- /no/such/trainer"));
  EXPECT_EQ(run.end(), 127);
  expect_has(run.errors(), {"cannot run /no/such/trainer: No such file"});
}

TEST(BadInput, AnAddressThatNobodyListensOnSaysWhatIsMissing) {
  std::string address;
  {
    CliCoordinator coordinator("--world 1");  // and gone again
    address = coordinator.address;
  }
  Cli status(words("status --coordinator " + address));
  EXPECT_EQ(status.end(), 1);
  expect_has(status.errors(), {"no coordinator answers at " + address, "refused", "rhizome"});
  Cli run(words("run -n 1 --join " + address + " --") + trainer(1), {"RHZ_CONNECT_TIMEOUT_MS=200"});
  EXPECT_EQ(run.end(), 1);
  expect_has(run.errors(), {"[peer 0] ", "no coordinator answers at " + address});
}

TEST(BadInput, AnAdvertisedNameThatThisHostDoesNotKnowIsPointedOut) {
  Cli run(words("run -n 1 --advertise no-such-host.invalid -- true"));
  EXPECT_EQ(run.end(), 0);  // others may know it
  expect_has(run.errors(), {"rhizome run: ", "\"no-such-host.invalid\"", "--advertise"});
}

TEST(BadInput, AHostThatDoesNotExistIsNamed) {
  Cli status(words("status --coordinator no-such-host.invalid:7400"));
  EXPECT_EQ(status.end(), 2);
  expect_has(status.errors(), {"no-such-host.invalid:7400"});
}

TEST(BadInput, APortInUseIsNamed) {
  CliCoordinator coordinator("--world 1");
  Cli second(words("coordinator --world 1 --listen " + coordinator.address));
  EXPECT_EQ(second.end(), 1);
  expect_has(second.errors(), {coordinator.address, "choose another port"});
  Cli run(words("run -n 1 --listen " + coordinator.address + " -- echo started"));
  EXPECT_EQ(run.end(), 1);
  expect_has(run.errors(), {coordinator.address, "choose another port"});
  EXPECT_EQ(run.output().find("started"), std::string::npos);
}

TEST(BadInput, PeersOfAnotherRunAreToldSo) {
  CliCoordinator coordinator("--world 1 --run-id today");
  Cli run(words("run -n 1 --run-id yesterday --join " + coordinator.address + " --") + trainer(1));
  EXPECT_EQ(run.end(), 1);
  expect_has(run.errors(), {"\"today\"", "\"yesterday\"", "peer 0 failed: exit status 1"});
}

TEST(BadInput, ALogThatIsNoneIsCorruptAndStaysAsItWas) {
  const Folder folder;
  const std::string log = folder.file("notes.txt"), notes = "step loss\n1 2.5\n2 2.4\nnot a log\n";
  std::ofstream(log) << notes;
  Cli coordinator(words("coordinator --listen 127.0.0.1:0 --world 1 --log " + log));
  EXPECT_EQ(coordinator.end(), 1);
  expect_has(coordinator.errors(), {log, "start a new run"});
  Cli run(words("run -n 1 --restart --log " + log + " -- echo started"));
  EXPECT_EQ(run.end(), 1);
  expect_has(run.errors(), {"[coordinator] ", log, "coordinator failed"});
  EXPECT_EQ(run.output().find("started"), std::string::npos);
  std::ifstream file(log);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), notes);
}

TEST(BadInput, ALogOfAnotherRunIsRefused) {
  const Folder folder;
  const std::string log = " --log " + folder.file("run.log");
  { CliCoordinator first("--world 1 --run-id today" + log); }
  Cli second(words("coordinator --listen 127.0.0.1:0 --world 1 --run-id yesterday" + log));
  EXPECT_EQ(second.end(), 1);
  expect_has(second.errors(), {folder.file("run.log"), "another run than \"yesterday\""});
}

TEST(BadInput, AFolderForLogsThatDoesNotExistSaysWhichOption) {
  Cli bench(words("bench recovery --log-dir /no/such/folder --reps 1"));
  EXPECT_EQ(bench.end(), 1);
  expect_has(bench.errors(), {"--log-dir"});
}

}  // namespace
}  // namespace rhz::test
