// Bytes that are none of ours: on the control port, on the data ports, in the decision log, in a
// data file.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>

#include "tests/integration/expect.h"
#include "tests/integration/local_run.h"
#include "tests/integration/raw_socket.h"

namespace rhz::test {
namespace {

constexpr uint64_t kMiB = 1u << 20;
constexpr uint64_t kCorrupt = 207;

// A header as this library writes it, but for what `change` does; its CRC is right again
// afterwards.
std::string header(wire::Kind kind, uint32_t length, uint8_t version = wire::kProtocolVersion) {
  return raw_header(kind, length, version);
}

TEST(Version, OfAStrangerIsRefusedByTheCoordinatorInWordsItCanRead) {
  LocalRun run(1);
  RawSocket stranger(run.address());
  stranger.write(header(wire::Kind::kControl, 0, 9));
  const std::string answer = stranger.read_all();
  EXPECT_NE(answer.find("protocol version 9"), std::string::npos);
  EXPECT_NE(answer.find("1"), std::string::npos);
  expect_sum(run.found());
}

TEST(Version, OfTheCoordinatorEndsAJoinWithWhatItSpeaks) {
  RawListener other;
  const auto params = comm_params(other.address().c_str());
  rhz_comm* comm = nullptr;
  ASSERT_EQ(rhz_comm_create(&params, &comm), RHZ_OK) << rhz_last_error();
  EXPECT_EQ(rhz_comm_join(comm, 1), RHZ_PENDING);
  RawSocket session = other.accept();
  session.write(header(wire::Kind::kControl, 0, 9));
  expect_refused(rhz_comm_join(comm, kPatienceMs), RHZ_ERR_VERSION, {"protocol version 9"});
  rhz_comm_close(comm);
}

// What 40 strangers say to every port of a run.
std::vector<std::string> nonsense() {
  std::mt19937_64 random(99);
  std::vector<std::string> all;
  for (int i = 0; i < 20; ++i) {
    std::string bytes(i < 10 ? 3000 : 200'000, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    all.push_back(bytes);
  }
  for (const auto kind :
       {wire::Kind::kControl, wire::Kind::kHello, wire::Kind::kPartial, wire::Kind::kStateData}) {
    all.push_back(header(kind, 1u << 30));  // declared, never sent
    all.push_back(header(kind, 60'000) + std::string(100, 'x'));
    all.push_back(header(kind, 64) + std::string(64, 'x'));  // the right size, no meaning
    all.push_back(header(kind, 44).substr(0, 50));           // half a header
    std::string damaged = header(kind, 44);
    damaged[40] ^= 1;
    all.push_back(damaged);
  }
  return all;
}

TEST(Garbage, OnEveryPortIsRefusedWhileTheRunGoesOn) {
  Cluster cluster({.world = 2});
  cluster.found();
  expect_all_reduce(cluster, 1, 1 << 20);
  std::vector<Process*> processes{&cluster.coordinator()};
  for (Member& member : cluster.members()) processes.push_back(member.process.get());
  std::vector<uint64_t> before;
  for (Process* process : processes) before.push_back(process->resident_bytes());
  std::vector<std::string> ports = data_ports(cluster.address());
  ASSERT_EQ(ports.size(), 2u);
  ports.push_back(cluster.address());
  std::vector<RawSocket> strangers;
  for (const std::string& port : ports) {
    for (const std::string& bytes : nonsense()) {
      strangers.emplace_back(port);
      strangers.back().write(bytes);
    }
    // Connections that say nothing: more than may wait at once.
    for (int i = 0; i < 300; ++i) strangers.emplace_back(port);
  }
  const auto lines = expect_all_reduce(cluster, 2, 1 << 20);
  EXPECT_EQ(lines[0].number("epoch"), 1u);
  strangers.clear();
  expect_all_reduce(cluster, 3, 1 << 20);
  for (size_t i = 0; i < processes.size() && !kSanitized; ++i)
    EXPECT_LE(processes[i]->resident_bytes(), before[i] + 16 * kMiB);
}

// What strangers cost the coordinator, until it has answered somebody who came behind them.
class Strangers : public testing::Test {
 protected:
  Strangers() : cluster_({.world = 1}) {
    cluster_.found();
    before_ = cluster_.coordinator().peak_bytes();
  }
  ~Strangers() override {
    for (int i = 0; i < 3; ++i) (void)data_ports(cluster_.address());
    EXPECT_TRUE(kSanitized || cluster_.coordinator().peak_bytes() <= before_ + 16 * kMiB) << cluster_.coordinator().peak_bytes();
    expect_all_reduce(cluster_, 1);
  }
  Cluster cluster_;
  std::vector<RawSocket> all_;

 private:
  uint64_t before_ = 0;
};

TEST_F(Strangers, WhoSayAlmostAllOfAMessageCostLittle) {
  constexpr uint32_t kBytes = 60'000;
  for (int i = 0; i < 300; ++i) {
    all_.emplace_back(cluster_.address());
    all_.back().write(header(wire::Kind::kControl, kBytes) + std::string(kBytes - 1, 'x'));
  }
}

TEST_F(Strangers, WhoAskAndDoNotListenAreCutOff) {
  std::string questions;
  for (int i = 0; i < 1000; ++i) questions += status_question();
  all_.emplace_back(cluster_.address());
  int rounds = 0;
  while (rounds < 1000 && all_.back().write_all(questions)) ++rounds;
  EXPECT_LT(rounds, 1000);
}

TEST(Garbage, OneByteAtATimeIsCutOffAtTheFirstWrongOne) {
  LocalRun run(1);
  RawSocket stranger(run.address());
  std::string bytes = header(wire::Kind::kControl, 64);
  bytes[3] = 'X';  // the magic
  for (const char byte : bytes) stranger.write(std::string(1, byte));
  (void)stranger.read_all();  // returns: the far side closed it
  expect_sum(run.found());
}

rhz_status start_with_log(const std::string& path, const char* run_id = nullptr) {
  auto params = sized<rhz_coordinator_params>();
  params.world = 1;
  params.log = path.c_str();
  params.run_id = run_id;
  rhz_coordinator* coordinator = nullptr;
  const rhz_status status = rhz_coordinator_start(&params, &coordinator);
  rhz_coordinator_stop(coordinator);
  return status;
}

class Log : public testing::Test {
 protected:
  Log() : path_(testing::TempDir() + "rhizome-log-" + std::to_string(getpid())) {
    EXPECT_EQ(start_with_log(path_), RHZ_OK) << rhz_last_error();
    EXPECT_EQ(start_with_log(path_), RHZ_OK) << rhz_last_error();
  }
  ~Log() override { std::filesystem::remove(path_); }
  void flip(std::streamoff at) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(at);
    const auto byte = static_cast<char>(file.get() ^ 0x10);
    file.seekp(at);
    file.put(byte);
  }
  const std::string path_;
};

TEST_F(Log, ThatIsNoneIsCorrupt) {
  std::ofstream(path_) << "step loss\n1 2.5\n2 2.4\n a file of somebody else's\n";
  expect_refused(start_with_log(path_), RHZ_ERR_CORRUPT, {path_, "start a new run"});
}

TEST_F(Log, WithADamagedRecordIsCorruptAndSaysWhere) {
  flip(32 + 40);  // in the first record, behind its head
  expect_refused(start_with_log(path_), RHZ_ERR_CORRUPT, {path_, "byte 32", "restore the file"});
}

TEST_F(Log, WithATornTailGoesOn) {
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) - 5);
  EXPECT_EQ(start_with_log(path_), RHZ_OK) << rhz_last_error();
}

TEST_F(Log, OfAnotherRunIsRefused) {
  expect_refused(start_with_log(path_, "another"), RHZ_ERR_RUN_ID, {path_});
}

TEST_F(Log, WhereNoneCanBeSaysWhy) {
  expect_refused(start_with_log("/no/such/folder/log"), RHZ_ERR_IO,
                 {"/no/such/folder/log", "No such file"});
}

TEST(TruncatedLog, OfARunThatGoesOnIsFoundOutByItsMembers) {
  Cluster cluster({.world = 2, .log = true});
  cluster.found();
  const auto size = std::filesystem::file_size(cluster.log_path());
  cluster.members()[0].process->signal(SIGKILL);
  ASSERT_TRUE(cluster.members()[0].process->wait(cluster.deadline()));
  cluster.drop(cluster.members()[0].slot);
  expect_all_reduce(cluster, 1);
  cluster.kill_coordinator();
  // As a careless copy has it: the newest decisions are gone.
  std::filesystem::resize_file(cluster.log_path(), size);
  cluster.restart_coordinator();
  Line line;
  for (uint64_t id = 2; line.number("status") == kOk && !cluster.hung(); ++id)
    line = cluster.ask(cluster.members()[0], "barrier", "barrier");
  EXPECT_EQ(line.number("status"), kCorrupt) << line.raw;
  EXPECT_NE(line.text("text").find("records were lost"), std::string::npos) << line.raw;
}

#ifdef RHZ_TEST_CHAR_LM
TEST(DataFile, ThatCannotBeReadEndsTheTrainerWithItsName) {
  const std::string errors = testing::TempDir() + "rhizome-char-lm-" + std::to_string(getpid());
  for (const char* data : {"/no/such/text", "/proc/self/mem"}) {
    Process trainer({RHZ_TEST_CHAR_LM, "--data", data}, errors);
    const auto status = trainer.wait(Clock::now() + Milliseconds(kPatienceMs));
    ASSERT_TRUE(status) << "it runs";
    EXPECT_TRUE(WIFEXITED(*status) && WEXITSTATUS(*status) != 0) << *status;
    EXPECT_NE(trainer.errors().find(std::string("cannot read ") + data), std::string::npos)
        << trainer.errors();
    EXPECT_NE(trainer.errors().find("--data"), std::string::npos) << trainer.errors();
  }
  std::filesystem::remove(errors);
}
#endif

}  // namespace
}  // namespace rhz::test
