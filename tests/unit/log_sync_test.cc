// A disk that does not keep what it was given: a failed fdatasync or fsync is never taken for durable, nor tried again as if the data were
// still there (the kernel may have dropped them), and nothing of what was appended is told to anybody.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "api/src/coordinator_driver.h"
#include "runtime/membership/file_log.h"
#include "runtime/wire/codec.h"
#include "runtime/wire/frame.h"
#include "tests/unit/tcp_test_wire.h"

namespace {
// How many calls of either go well before one fails; below 0: all of them.  What a call that fails leaves on the disk is unknown, and here
// it is everything.
std::atomic<int> good_syncs{-1}, syncs{0};  // a coordinator has a thread

int sync_or_fail() {
  ++syncs;
  if (good_syncs < 0 || good_syncs-- > 0) return 0;
  good_syncs = -1;  // the next one would go well: that proves nothing
  errno = EIO;
  return -1;
}
}  // namespace

// The program's own come before those of the C library.
extern "C" int fdatasync(int) { return sync_or_fail(); }
extern "C" int fsync(int) { return sync_or_fail(); }

namespace rhz {
namespace {

using test::connect_to;
using test::port_of;

constexpr const char* kRun = "run-7";

LogEntry entry(uint64_t index) { return {Term(1), LogIndex(index), ConfigRecord{{kRun, 4, 8, 2}}}; }
LogEntry snapshot(uint64_t index) {
  SnapshotRecord record;
  record.config.run_id = kRun;
  return {Term(1), LogIndex(index), record};
}
std::vector<LogEntry> entries(uint64_t count) {
  std::vector<LogEntry> all;
  for (uint64_t i = 1; i <= count; ++i) all.push_back(entry(i));
  return all;
}

class LogSync : public testing::Test {
 protected:
  LogSync() {
    std::string name = testing::TempDir() + "rhz-log-XXXXXX";
    directory_ = mkdtemp(name.data());
    path_ = directory_ + "/run.log";
    good_syncs = -1;
  }
  ~LogSync() override { std::filesystem::remove_all(directory_); }
  std::unique_ptr<DecisionLog> open() {
    auto log = open_file_log(path_, kRun);
    EXPECT_TRUE(log) << log.status().text();
    return log ? std::move(log).value() : nullptr;
  }
  std::unique_ptr<DecisionLog> open_with(uint64_t count) {
    auto log = open();
    EXPECT_TRUE(log->recover());
    for (uint64_t i = 1; i <= count; ++i) EXPECT_TRUE(log->append(entry(i)));
    return log;
  }
  // It takes nothing any more, without another look at the disk.
  static void expect_closed(DecisionLog& log, uint64_t next) {
    const int before = syncs;
    for (int i = 0; i < 3; ++i) {
      const Status later = log.append(entry(next));
      EXPECT_EQ(later.code(), Code::kIo);
      EXPECT_NE(later.text().find("closed to appends"), std::string::npos) << later.text();
    }
    EXPECT_EQ(log.cut(snapshot(next - 1)).code(), Code::kIo);
    EXPECT_EQ(log.recover().status().code(), Code::kIo);
    EXPECT_EQ(syncs, before);
  }
  std::string directory_, path_;
};

TEST_F(LogSync, AFailedOneOfAnAppendIsNotDurableAndNotTriedAgain) {
  auto log = open_with(2);
  const LogTip tip = log->tip();
  good_syncs = 0;
  const Status status = log->append(entry(3));
  EXPECT_EQ(status.code(), Code::kIo);
  EXPECT_NE(status.text().find(path_ + ": fdatasync: "), std::string::npos) << status.text();
  EXPECT_EQ(log->tip(), tip);
  expect_closed(*log, 3);
  // Whoever opens it anew takes what is there, and makes that durable first.
  log.reset();
  log = open();
  const int before = syncs;
  EXPECT_EQ(log->recover().value(), entries(3));
  EXPECT_GT(syncs, before);
  EXPECT_TRUE(log->append(entry(4)));
}

TEST_F(LogSync, AFailedOneWhenTheLogIsReadAgainLeavesItClosed) {
  open_with(2).reset();
  auto log = open();
  good_syncs = 0;
  EXPECT_EQ(log->recover().status().code(), Code::kIo);
  EXPECT_EQ(log->recover().status().code(), Code::kIo);
  const int before = syncs;
  EXPECT_EQ(log->append(entry(3)).code(), Code::kIo);
  EXPECT_EQ(syncs, before);
  log.reset();
  EXPECT_EQ(open()->recover().value(), entries(2));
}

TEST_F(LogSync, AFailedOneOfANewLogIsAnError) {
  for (const int well : {0, 1}) {  // of its header, of its folder
    std::filesystem::remove(path_);
    good_syncs = well;
    EXPECT_EQ(open_file_log(path_, kRun).status().code(), Code::kIo) << well;
  }
}

TEST_F(LogSync, AFailedOneOfACutLeavesTheOldLogWhichGoesOn) {
  auto log = open_with(2);
  good_syncs = 0;
  EXPECT_EQ(log->cut(snapshot(2)).code(), Code::kIo);
  EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
  EXPECT_TRUE(log->append(entry(3)));
  EXPECT_EQ(log->recover().value(), entries(3));
}

// The new file has its name, and a crash may leave either.
TEST_F(LogSync, AFailedOneOfTheFolderBehindACutClosesTheLog) {
  auto log = open_with(2);
  good_syncs = 1;
  EXPECT_EQ(log->cut(snapshot(2)).code(), Code::kIo);
  expect_closed(*log, 3);
  log.reset();
  EXPECT_EQ(open()->recover().value(), std::vector<LogEntry>{snapshot(2)});
}

// Whether a coordinator that ends has told a founder of a decision before.
bool tells_a_founder(const std::string& address) {
  const int fd = connect_to(port_of(address));
  ::fcntl(fd, F_SETFL, 0);
  const timeval patience{30, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  HelloMessage hello;
  hello.run_id = kRun;
  hello.self.id = {9, 1};
  const std::vector<std::byte> payload = wire::encode(ControlMessage(hello));
  wire::FrameHeader header;
  header.kind = wire::Kind::kControl;
  header.run = wire::run_hash(kRun);
  header.length = static_cast<uint32_t>(payload.size());
  std::vector<std::byte> bytes(wire::kHeaderBytes);
  wire::encode_header(header, bytes.data());
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  EXPECT_EQ(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  bytes.clear();
  std::byte some[4096];
  ssize_t got;
  bool told = false;  // then it does not end, and says more for ever
  while (!told && (got = ::recv(fd, some, sizeof some, 0)) > 0) {
    bytes.insert(bytes.end(), some, some + got);
    for (size_t at = 0; at + wire::kHeaderBytes <= bytes.size();) {
      const uint32_t length = wire::decode_header(bytes.data() + at).value().length;
      at += wire::kHeaderBytes + length;
      if (at > bytes.size()) break;
      told |= std::holds_alternative<EntriesMessage>(wire::decode_message({bytes.data() + at - length, length}).value());
    }
  }
  EXPECT_TRUE(told || got == 0 || errno == ECONNRESET) << "the connection stays";
  ::close(fd);
  return told;
}

// C1.
TEST_F(LogSync, AFailedOneEndsTheCoordinatorBeforeAnybodyHearsOfTheDecision) {
  CoordinatorOptions options;
  options.log_path = path_;
  options.config.run_id = kRun;
  options.config.world = options.config.max_world = 1;
  auto started = CoordinatorDriver::start(options);
  ASSERT_TRUE(started) << started.status().text();
  good_syncs = 0;
  ASSERT_FALSE(tells_a_founder(started.value()->address())) << "what no disk has";
  const Status failure = started.value()->wait();
  EXPECT_EQ(failure.code(), Code::kIo);
  EXPECT_NE(failure.text().find("fdatasync"), std::string::npos) << failure.text();
}

}  // namespace
}  // namespace rhz
