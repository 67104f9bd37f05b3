// A joiner that has pulled a revision goes on with the updates that members recorded since.
#include "recovery/sync/follower.h"

#include <gtest/gtest.h>

#include <map>

namespace rhz::recovery::test {
namespace {

constexpr OpSeq kSync{5};
constexpr uint64_t kLimit = 64u << 20;

Update bytes_of(uint64_t revision, size_t length) {
  std::vector<std::byte> bytes(length);
  for (size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::byte>(revision + i * 7);
  Update update(kUpdateHeaderBytes + length);
  EXPECT_TRUE(update.fill(revision, bytes));
  return update;
}

struct Following : testing::Test {
  static PeerId id(uint8_t n) { return PeerId{n, n}; }
  // Sends what it asks for to the donors, and their answers back, until nothing is under way.
  void carry(SyncActions todo) {
    while (!todo.empty()) {
      SyncActions next;
      for (const SyncAction& action : todo) {
        const auto& ask = std::get<SendPull>(action);
        if (!logs.contains(ask.to)) continue;  // frozen
        ++asked[ask.to];
        auto more = follower.handle(ask.to, answer(logs[ask.to], ask.payload), now);
        std::move(more.begin(), more.end(), std::back_inserter(next));
      }
      todo = std::move(next);
    }
  }
  std::vector<std::byte> answer(const UpdateLog& log, ConstBytes payload) const {
    const auto pull = decode_pull(payload);
    EXPECT_TRUE(pull);
    ConstBytes bytes;
    const DataStatus status = log.find(*pull, bytes);
    std::vector<std::byte> data(kDataHeaderBytes + bytes.size());
    encode_data_header(*pull, status, data.data());
    if (!bytes.empty()) std::memcpy(data.data() + kDataHeaderBytes, bytes.data(), bytes.size());
    return data;
  }
  void record(uint64_t revision, size_t length) {
    for (auto& [donor, log] : logs) log.append(bytes_of(revision, length));
  }
  void start(std::vector<PeerId> donors) { carry(follower.start(kSync, 7, kLimit, donors, now)); }
  void later(Duration time) {
    now += time;
    carry(follower.tick(now));
  }
  // Applies what is there, and expects it to be this.
  void expect_update(uint64_t revision, size_t length) {
    ASSERT_TRUE(follower.has_update()) << revision;
    auto taken = follower.begin_applying();
    const ConstBytes got = taken.bytes;
    EXPECT_EQ(taken.revision, revision);
    const Update whole = bytes_of(revision, length);
    ASSERT_EQ(got.size(), length);
    EXPECT_EQ(std::memcmp(got.data(), whole.data() + kUpdateHeaderBytes, length), 0) << revision;
    carry(follower.applied(std::move(taken), true, now));
    EXPECT_EQ(follower.revision(), revision);
  }

  Follower follower;
  std::map<PeerId, UpdateLog> logs;
  std::map<PeerId, int> asked;
  Time now{1000};
};

TEST_F(Following, HandsOutWhatWasRecordedInItsOrderAndThenWhatComes) {
  logs[id(1)].open(7, kLimit);
  record(8, (3u << 20) + 5);
  record(9, 0);
  start({id(1)});
  EXPECT_FALSE(follower.at_end());
  expect_update(8, (3u << 20) + 5);
  expect_update(9, 0);
  EXPECT_TRUE(follower.at_end());
  record(10, 100);
  EXPECT_FALSE(follower.has_update()) << "it looks again in a moment";
  later(Follower::kLook);
  expect_update(10, 100);
  EXPECT_TRUE(follower.at_end());
}

TEST_F(Following, GoesOnWithAnotherDonorWhereTheFirstOneIsSilentClosedOrLost) {
  for (uint8_t n : {2, 3, 4}) logs[id(n)].open(7, kLimit);
  record(8, 2u << 20);
  start({id(1), id(2), id(3), id(4)});
  EXPECT_FALSE(follower.has_update()) << "the first one is frozen";
  later(Follower::kSilence);
  expect_update(8, 2u << 20);
  logs[id(2)].close();
  record(9, 50);
  later(Follower::kLook);
  expect_update(9, 50);
  carry(follower.donor_lost(id(3), now));
  record(10, 50);
  later(Follower::kLook);
  expect_update(10, 50);
  EXPECT_EQ(asked.count(id(4)), 1u);
}

TEST_F(Following, EndsWhenNobodyIsLeftToAsk) {
  logs[id(1)].open(7, kLimit);
  start({id(1)});
  EXPECT_TRUE(follower.at_end());
  logs[id(1)].close();
  later(Follower::kLook);
  EXPECT_FALSE(follower.running());
  EXPECT_EQ(follower.next_tick(), kNever);
}

TEST_F(Following, AsksNoMoreWhileAnUpdateIsAppliedAndNeverWhereThatFailed) {
  logs[id(1)].open(7, kLimit);
  record(8, 10);
  record(9, 10);
  start({id(1)});
  auto taken = follower.begin_applying();
  const int before = asked[id(1)];
  later(Follower::kSilence * 2);
  EXPECT_EQ(asked[id(1)], before);
  carry(follower.applied(std::move(taken), false, now));
  EXPECT_FALSE(follower.running());
  EXPECT_FALSE(follower.has_update()) << "it is not applied twice";
  EXPECT_EQ(follower.revision(), 7u);
}

TEST_F(Following, TakesNoUpdateOfAnotherRevisionOrLongerThanTheState) {
  logs[id(1)].open(9, kLimit);
  logs[id(2)].open(7, uint64_t{1} << 40);
  logs[id(1)].append(bytes_of(10, 5));
  logs[id(2)].append(bytes_of(8, 2000));
  logs[id(3)].open(7, kLimit);
  logs[id(3)].append(bytes_of(8, 5));
  carry(follower.start(kSync, 7, 1000, std::array{id(1), id(2), id(3)}, now));
  expect_update(8, 5);
}

TEST_F(Following, DropsWhatIsNoAnswerToIt) {
  logs[id(1)].open(7, kLimit);
  record(8, 10);
  start({id(1)});
  const Pull stray{PullKind::kUpdates, 0, kSync, 12345, 16};
  std::vector<std::byte> data(kDataHeaderBytes + 16);
  encode_data_header(stray, DataStatus::kOk, data.data());
  carry(follower.handle(id(1), data, now));
  carry(follower.handle(id(2), data, now));
  expect_update(8, 10);
}

TEST(UpdateLog, EndsAtAGapAndWhereItWouldBeLongerThanTheState) {
  ConstBytes bytes;
  const Pull first{PullKind::kUpdates, 0, kSync, 0, kUpdateHeaderBytes};
  UpdateLog log;
  EXPECT_EQ(log.find(first, bytes), DataStatus::kClosed);
  log.open(7, 100);
  EXPECT_EQ(log.find(first, bytes), DataStatus::kBusy) << "not yet";
  log.append(bytes_of(9, 5));
  EXPECT_EQ(log.find(first, bytes), DataStatus::kClosed);
  log.open(7, 100);
  log.append(bytes_of(8, 60));
  EXPECT_EQ(log.find(first, bytes), DataStatus::kOk);
  EXPECT_EQ(log.find({PullKind::kUpdates, 0, kSync, 0, kUpdateHeaderBytes + 1}, bytes),
            DataStatus::kRefused);
  EXPECT_EQ(log.find({PullKind::kUpdates, 0, kSync, 16, 61}, bytes), DataStatus::kRefused);
  EXPECT_EQ(log.find({PullKind::kUpdates, 1, kSync, 0, 16}, bytes), DataStatus::kRefused);
  log.append(bytes_of(9, 60));
  EXPECT_FALSE(log.is_open());
}

}  // namespace
}  // namespace rhz::recovery::test
