// The decision log: what was acknowledged is there, in order, after anything; what cannot be right
// is refused.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "runtime/membership/file_log.h"
#include "runtime/membership/memory_log.h"

namespace rhz {
namespace {

constexpr const char* kRun = "run-7";
constexpr size_t kHeader = 32, kHead = 32;

LogEntry entry(uint64_t index, uint64_t term = 1) {
  if (index == 1) return {Term(term), LogIndex(1), ConfigRecord{{kRun, 4, 8, 2}}};
  View view{Epoch(index), {}, "peer in slot 2 lost (refused)"};
  view.members.push_back({{index, 2}, Slot(3), 5, {"127.0.0.1:7401"}});
  return {Term(term), LogIndex(index), ViewRecord{view}};
}

LogEntry snapshot(uint64_t index, uint64_t term = 1) {
  SnapshotRecord record;
  record.config.run_id = kRun;
  record.view = std::get<ViewRecord>(entry(9).record).view;
  record.retired = {{1, 2}, {3, 4}};
  return {Term(term), LogIndex(index), record};
}

std::vector<LogEntry> entries(uint64_t count) {
  std::vector<LogEntry> all;
  for (uint64_t i = 1; i <= count; ++i) all.push_back(entry(i));
  return all;
}

std::vector<char> contents_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void overwrite(const std::string& path, const std::vector<char>& contents) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(contents.data(), static_cast<std::streamsize>(contents.size()));
}

bool says(const Status& status, const std::string& part) {
  return status.text().find(part) != std::string::npos;
}

class FileLogTest : public ::testing::Test {
 protected:
  FileLogTest() {
    std::string name = ::testing::TempDir() + "rhz-log-XXXXXX";
    directory_ = mkdtemp(name.data());
    path_ = directory_ + "/run.log";
  }
  ~FileLogTest() override { std::filesystem::remove_all(directory_); }

  std::unique_ptr<DecisionLog> open() {
    auto log = open_file_log(path_, kRun);
    EXPECT_TRUE(log) << log.status().text();
    return log ? std::move(log).value() : nullptr;
  }
  // A log of entries 1 … count, closed; returns its bytes.
  std::vector<char> write_log(uint64_t count) {
    std::filesystem::remove(path_);
    auto log = open();
    EXPECT_TRUE(log->recover());
    for (uint64_t i = 1; i <= count; ++i) {
      const Status status = log->append(entry(i));
      EXPECT_TRUE(status) << status.text();
    }
    return contents_of(path_);
  }
  // Of a log whose bytes were replaced.
  Result<std::vector<LogEntry>> recover(const std::vector<char>& contents) {
    overwrite(path_, contents);
    auto log = open_file_log(path_, kRun);
    if (!log) return log.status();
    return log.value()->recover();
  }
  void expect_corrupt(const Status& status, const std::string& context) {
    EXPECT_EQ(status.code(), Code::kCorrupt) << context << status.text();
    EXPECT_TRUE(says(status, path_)) << status.text();
    EXPECT_TRUE(says(status, "at byte ")) << status.text();
    EXPECT_TRUE(says(status, "restore the file from a copy, or start a new run")) << status.text();
  }

  std::string directory_, path_;
};

// ---- both backends

void append_and_recover(DecisionLog& log) {
  ASSERT_TRUE(log.recover());
  EXPECT_EQ(log.tip().index, LogIndex(0));
  for (uint64_t i = 1; i <= 5; ++i) ASSERT_TRUE(log.append(entry(i, i / 2)));
  EXPECT_EQ(log.tip().index, LogIndex(5));
  EXPECT_EQ(log.tip().term, Term(2));
  const auto all = log.recover();
  ASSERT_TRUE(all) << all.status().text();
  ASSERT_EQ(all.value().size(), 5u);
  for (uint64_t i = 1; i <= 5; ++i) EXPECT_EQ(all.value()[i - 1], entry(i, i / 2));
}

void refuse_what_is_out_of_order(DecisionLog& log) {
  ASSERT_TRUE(log.recover());
  EXPECT_EQ(log.append(entry(2)).code(), Code::kState);
  ASSERT_TRUE(log.append(entry(1, 3)));
  ASSERT_TRUE(log.append(entry(2, 3)));
  const uint64_t bytes = log.bytes();
  const Status repeated = log.append(entry(2, 3));
  EXPECT_EQ(repeated.code(), Code::kState);
  EXPECT_TRUE(says(repeated, "stale")) << repeated.text();
  EXPECT_EQ(log.append(entry(4, 3)).code(), Code::kState);
  EXPECT_EQ(log.append(entry(3, 2)).code(), Code::kState) << "an older term decides nothing";
  EXPECT_EQ(log.append(snapshot(3, 3)).code(), Code::kState);
  EXPECT_EQ(log.cut(entry(2, 3)).code(), Code::kState);
  EXPECT_EQ(log.cut(snapshot(3, 3)).code(), Code::kState);
  EXPECT_EQ(log.cut(snapshot(2, 2)).code(), Code::kState);
  EXPECT_EQ(log.bytes(), bytes);
  EXPECT_TRUE(log.append(entry(3, 4)));
}

void refuse_what_is_too_large(DecisionLog& log) {
  ASSERT_TRUE(log.recover());
  LogEntry large = entry(1);
  std::get<ConfigRecord>(large.record).config.run_id.assign(5000, 'r');
  EXPECT_EQ(log.append(large).code(), Code::kArgument);
  EXPECT_TRUE(log.append(entry(1)));
}

void cut_and_go_on(DecisionLog& log) {
  ASSERT_TRUE(log.recover());
  EXPECT_EQ(log.cut(snapshot(0)).code(), Code::kState);
  for (uint64_t i = 1; i <= 50; ++i) ASSERT_TRUE(log.append(entry(i)));
  const uint64_t before = log.bytes();
  ASSERT_TRUE(log.cut(snapshot(50, 2)));
  EXPECT_LT(log.bytes(), before / 4);
  EXPECT_EQ(log.tip().index, LogIndex(50));
  ASSERT_TRUE(log.append(entry(51, 2)));
  const auto all = log.recover();
  ASSERT_TRUE(all) << all.status().text();
  EXPECT_EQ(all.value(), (std::vector<LogEntry>{snapshot(50, 2), entry(51, 2)}));
}

TEST(MemoryLog, HoldsWhatWasAppended) { append_and_recover(*make_memory_log()); }
TEST(MemoryLog, RefusesWhatIsOutOfOrder) { refuse_what_is_out_of_order(*make_memory_log()); }
TEST(MemoryLog, RefusesARecordThatIsTooLarge) { refuse_what_is_too_large(*make_memory_log()); }
TEST(MemoryLog, IsReplacedByASnapshot) { cut_and_go_on(*make_memory_log()); }
TEST_F(FileLogTest, HoldsWhatWasAppended) { append_and_recover(*open()); }
TEST_F(FileLogTest, RefusesWhatIsOutOfOrder) { refuse_what_is_out_of_order(*open()); }
TEST_F(FileLogTest, RefusesARecordThatIsTooLarge) { refuse_what_is_too_large(*open()); }
TEST_F(FileLogTest, IsReplacedByASnapshot) { cut_and_go_on(*open()); }

// ---- reopening

TEST_F(FileLogTest, GoesOnWhereItWasClosed) {
  write_log(3);
  auto log = open();
  EXPECT_EQ(log->append(entry(4)).code(), Code::kState) << "the tip is not known before recover";
  EXPECT_EQ(log->recover().value(), entries(3));
  ASSERT_TRUE(log->append(entry(4)));
  const LogTip tip = log->tip();
  log.reset();
  log = open();
  EXPECT_EQ(log->recover().value(), entries(4));
  EXPECT_EQ(log->tip(), tip);
  EXPECT_EQ(log->bytes(), std::filesystem::file_size(path_));
}

TEST_F(FileLogTest, ACutLogIsReopenedAndGoesOn) {
  write_log(20);
  auto log = open();
  ASSERT_TRUE(log->recover());
  ASSERT_TRUE(log->cut(snapshot(20)));
  ASSERT_TRUE(log->append(entry(21)));
  ASSERT_TRUE(log->cut(snapshot(21)));
  ASSERT_TRUE(log->append(entry(22)));
  log.reset();
  EXPECT_EQ(open()->recover().value(), (std::vector<LogEntry>{snapshot(21), entry(22)}));
  EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
}

TEST_F(FileLogTest, ACutThatWasInterruptedLeavesTheOldEntries) {
  write_log(3);
  overwrite(path_ + ".new", {'h', 'a', 'l', 'f'});
  auto log = open();
  EXPECT_EQ(log->recover().value(), entries(3));
  ASSERT_TRUE(log->cut(snapshot(3)));
  EXPECT_EQ(log->recover().value(), std::vector<LogEntry>{snapshot(3)});
}

TEST_F(FileLogTest, ACutThatFailsLeavesALogThatGoesOn) {
  write_log(3);
  auto log = open();
  ASSERT_TRUE(log->recover());
  std::filesystem::create_directory(path_ + ".new");
  EXPECT_EQ(log->cut(snapshot(3)).code(), Code::kIo);
  ASSERT_TRUE(log->append(entry(4)));
  EXPECT_EQ(log->recover().value(), entries(4));
}

TEST_F(FileLogTest, ACutThroughALinkReplacesTheFileNotTheLink) {
  const std::string link = directory_ + "/link.log";
  write_log(2);
  std::filesystem::create_symlink("run.log", link);
  auto log = open_file_log(link, kRun);
  ASSERT_TRUE(log.value()->recover());
  ASSERT_TRUE(log.value()->cut(snapshot(2)));
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  log = Status(Code::kClosed, "");
  EXPECT_EQ(open()->recover().value(), std::vector<LogEntry>{snapshot(2)});
}

// ---- the torn tail

TEST_F(FileLogTest, ATornLastRecordIsCutWhereverItIsTorn) {
  const size_t keep = write_log(3).size();
  const auto whole = write_log(4);
  for (size_t size = keep; size < whole.size(); ++size) {
    overwrite(path_, {whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size)});
    auto log = open();
    const auto all = log->recover();
    ASSERT_TRUE(all) << size << ": " << all.status().text();
    EXPECT_EQ(all.value(), entries(3)) << size;
    EXPECT_EQ(std::filesystem::file_size(path_), keep) << size;
    ASSERT_TRUE(log->append(entry(4))) << size;
    EXPECT_EQ(contents_of(path_), whole) << size;
  }
}

TEST_F(FileLogTest, ALastRecordOfWhichBlocksAreMissingIsCut) {
  const size_t keep = write_log(3).size();
  const auto whole = write_log(4);
  for (size_t from = keep; from < whole.size(); from += 8) {
    auto holed = whole;  // the file has its length, but these bytes never reached the disk
    const size_t to = std::min(from + 40, whole.size());
    std::fill(holed.begin() + static_cast<ptrdiff_t>(from),
              holed.begin() + static_cast<ptrdiff_t>(to), 0);
    const auto all = recover(holed);
    ASSERT_TRUE(all) << all.status().text();
    EXPECT_EQ(all.value(), holed == whole ? entries(4) : entries(3)) << from;
  }
}

TEST_F(FileLogTest, ATornHeaderOfANewLogIsWrittenAgain) {
  const auto header = write_log(0);
  ASSERT_EQ(header.size(), kHeader);
  for (size_t size = 0; size <= kHeader; ++size) {
    EXPECT_TRUE(recover({header.begin(), header.begin() + static_cast<ptrdiff_t>(size)})) << size;
    EXPECT_EQ(contents_of(path_), header);
    EXPECT_TRUE(recover(std::vector<char>(size, 0))) << size;
    EXPECT_EQ(contents_of(path_), header);
  }
}

// ---- damage

TEST_F(FileLogTest, EveryFlippedBitOfAnEarlierRecordIsFound) {
  const size_t from = write_log(1).size(), to = write_log(2).size();
  auto contents = write_log(3);
  for (size_t at = from; at < to; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      contents[at] = static_cast<char>(contents[at] ^ (1 << bit));
      expect_corrupt(recover(contents).status(), std::to_string(at) + ": ");
      EXPECT_EQ(contents_of(path_), contents) << "damage must not be repaired";
      contents[at] = static_cast<char>(contents[at] ^ (1 << bit));
    }
  }
  EXPECT_EQ(recover(contents).value(), entries(3));
}

TEST_F(FileLogTest, AFlippedBitOfTheLastRecordNeverGivesAWrongEntry) {
  const size_t from = write_log(2).size();
  auto contents = write_log(3);
  for (size_t at = from; at < contents.size(); ++at) {
    contents[at] = static_cast<char>(contents[at] ^ 4);
    EXPECT_EQ(recover(contents).value(), entries(2)) << at;
    contents[at] = static_cast<char>(contents[at] ^ 4);
  }
}

TEST_F(FileLogTest, EveryFlippedBitOfTheHeaderIsFound) {
  auto contents = write_log(2);
  for (size_t bit = 0; bit < kHeader * 8; ++bit) {
    contents[bit / 8] = static_cast<char>(contents[bit / 8] ^ (1 << bit % 8));
    const Status status = recover(contents).status();
    const bool version = bit / 8 >= 8 && bit / 8 < 12;
    EXPECT_EQ(status.code(), version ? Code::kVersion : Code::kCorrupt) << bit;
    EXPECT_TRUE(says(status, path_));
    contents[bit / 8] = static_cast<char>(contents[bit / 8] ^ (1 << bit % 8));
  }
}

TEST_F(FileLogTest, RecordsThatAreMissingSwappedOrRepeatedAreFound) {
  const size_t one = write_log(1).size(), two = write_log(2).size(), three = write_log(3).size();
  const auto all = write_log(4);
  auto part = [&](size_t from, size_t to) {
    return std::vector<char>(all.begin() + static_cast<ptrdiff_t>(from),
                             all.begin() + static_cast<ptrdiff_t>(to));
  };
  auto join = [](std::vector<std::vector<char>> parts) {
    std::vector<char> joined;
    for (const auto& p : parts) joined.insert(joined.end(), p.begin(), p.end());
    return joined;
  };
  const auto front = part(0, one);
  expect_corrupt(recover(join({front, part(two, all.size())})).status(), "missing: ");
  expect_corrupt(recover(join({front, part(two, three), part(one, two)})).status(), "swapped: ");
  expect_corrupt(recover(join({all, part(three, all.size())})).status(), "repeated: ");
  expect_corrupt(recover(join({part(0, kHeader), part(one, all.size())})).status(), "no first: ");
  // Zeros or rubbish behind a good log: more than a crash can leave.
  expect_corrupt(recover(join({all, std::vector<char>((15 << 20) + 40, 0)})).status(), "zeros: ");
  // A bad record, and more behind it than its own bytes.
  auto bad = all;
  bad[three + kHead] ^= 1;
  expect_corrupt(recover(join({bad, std::vector<char>(8, 'x')})).status(), "bad, and more: ");
}

TEST_F(FileLogTest, ARecordOfAnotherHistoryIsFound) {
  const auto two = write_log(2);
  // The same run once more, in which entry 2 was another one: its entry 3 fits in index and term,
  // not in the chain.
  write_log(1);
  auto log = open();
  ASSERT_TRUE(log->recover());
  ASSERT_TRUE(log->append({Term(1), LogIndex(2), AdmitRecord{OpSeq(5), {}, 6, {}}}));
  const auto other_end = static_cast<ptrdiff_t>(log->bytes());
  ASSERT_TRUE(log->append(entry(3)));
  log.reset();
  const auto other = contents_of(path_);
  auto spliced = two;
  spliced.insert(spliced.end(), other.begin() + other_end, other.end());
  const Status status = recover(spliced).status();
  expect_corrupt(status, "");
  EXPECT_TRUE(says(status, "does not continue the one before")) << status.text();
}

TEST_F(FileLogTest, WhatIsNoLogIsRefusedAndLeftAlone) {
  for (const std::string& text :
       {std::string("x"), std::string("{\"json\": true}\n"), std::string(5000, 'z'),
        std::string("RHZLOG2\n") + std::string(60, 0)}) {
    const std::vector<char> contents(text.begin(), text.end());
    const Status status = recover(contents).status();
    expect_corrupt(status, "");
    EXPECT_TRUE(says(status, "not a decision log")) << status.text();
    EXPECT_EQ(contents_of(path_), contents);
  }
}

TEST_F(FileLogTest, TheLogOfAnotherRunIsRefused) {
  write_log(2);
  const auto log = open_file_log(path_, "run-8");
  EXPECT_EQ(log.status().code(), Code::kRunId);
  EXPECT_TRUE(says(log.status(), path_) && says(log.status(), "run-8")) << log.status().text();
  EXPECT_EQ(open()->recover().value(), entries(2));
}

// ---- the host

TEST_F(FileLogTest, PathsThatCannotBeOpenedAreNamed) {
  for (const std::string& path : {directory_, directory_ + "/none/run.log",
                                  std::string("/dev/full"), std::string("/proc/run.log")}) {
    const auto log = open_file_log(path, kRun);
    EXPECT_EQ(log.status().code(), Code::kIo);
    EXPECT_TRUE(says(log.status(), path)) << log.status().text();
  }
}

TEST_F(FileLogTest, AnUnwritableFileIsNamed) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write everything";
  write_log(1);
  ASSERT_EQ(chmod(path_.c_str(), 0444), 0);
  const auto log = open_file_log(path_, kRun);
  EXPECT_EQ(log.status().code(), Code::kIo);
  EXPECT_TRUE(says(log.status(), "Permission denied")) << log.status().text();
}

TEST_F(FileLogTest, ASecondCoordinatorIsKeptOut) {
  auto log = open();
  ASSERT_TRUE(log->recover());
  ASSERT_TRUE(log->append(entry(1)));
  auto expect_locked = [&] {
    const Status status = open_file_log(path_, kRun).status();
    EXPECT_EQ(status.code(), Code::kState);
    EXPECT_TRUE(says(status, "another coordinator has it locked")) << status.text();
  };
  expect_locked();
  ASSERT_TRUE(log->cut(snapshot(1)));
  expect_locked();  // the lock moves to the file that a cut writes
  log.reset();
  EXPECT_EQ(open()->recover().value(), std::vector<LogEntry>{snapshot(1)});
}

// Files of this process cannot grow beyond `bytes` while it exists.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

TEST_F(FileLogTest, AFullDiskEndsAppendsUntilTheLogIsOpenedAgain) {
  write_log(2);
  auto log = open();
  ASSERT_TRUE(log->recover());
  {
    const FileSizeLimit full(log->bytes() +
                             40);  // the head of the record fits, its payload does not
    const Status status = log->append(entry(3));
    EXPECT_EQ(status.code(), Code::kIo);
    EXPECT_TRUE(says(status, path_) && says(status, "File too large")) << status.text();
  }
  const Status later = log->append(entry(3));
  EXPECT_EQ(later.code(), Code::kIo);
  EXPECT_TRUE(says(later, "File too large")) << later.text();
  EXPECT_EQ(log->recover().status().code(), Code::kIo);
  EXPECT_EQ(log->cut(snapshot(2)).code(), Code::kIo);
  log.reset();
  log = open();
  EXPECT_EQ(log->recover().value(), entries(2));
  EXPECT_TRUE(log->append(entry(3)));
}

TEST_F(FileLogTest, AFullDiskDuringACutLeavesTheOldLog) {
  write_log(2);
  auto log = open();
  ASSERT_TRUE(log->recover());
  {
    const FileSizeLimit full(100);
    EXPECT_EQ(log->cut(snapshot(2)).code(), Code::kIo);
  }
  EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
  ASSERT_TRUE(log->append(entry(3)));
  EXPECT_EQ(log->recover().value(), entries(3));
}

TEST_F(FileLogTest, ReportsHowLongAnAppendTakes) {
  auto log = open();
  ASSERT_TRUE(log->recover());
  constexpr uint64_t kAppends = 200;
  std::vector<double> took_us;
  for (uint64_t i = 1; i <= kAppends; ++i) {
    const auto start = std::chrono::steady_clock::now();
    ASSERT_TRUE(log->append(entry(i)));
    took_us.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
            .count());
  }
  std::sort(took_us.begin(), took_us.end());
  std::printf("append with fdatasync: median %.0f us, 99%% %.0f us, %.0f bytes per record\n",
              took_us[kAppends / 2], took_us[kAppends * 99 / 100],
              static_cast<double>(log->bytes() - kHeader) / kAppends);
}

}  // namespace
}  // namespace rhz
