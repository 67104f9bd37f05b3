// Send and receive between real processes, some of which die.
#include <gtest/gtest.h>

#include <csignal>
#include <random>

#include "tests/integration/expect.h"

namespace rhz::test {
namespace {

constexpr uint64_t kPeerLost = 300;
constexpr uint64_t kEager = 16u << 10;  // the largest message that is copied
constexpr uint64_t kLarge = 24u << 20;

struct Message {
  uint32_t from = 0, to = 1;
  uint64_t bytes = 0, tag = 0, text = 0;
  uint64_t room = ~uint64_t{0};  // of the receive; the message's size
};

class Messages : public testing::Test {
 protected:
  explicit Messages(uint32_t world = 3) : cluster_({.world = world}) { cluster_.found(); }
  ~Messages() override {
    if (HasFailure()) ADD_FAILURE() << cluster_.dump();
  }

  std::string words(const Message& m, bool sends, uint64_t id) const {
    const uint64_t bytes = sends || m.room == ~uint64_t{0} ? m.bytes : m.room;
    return std::string(sends ? "send" : "recv") + " id=" + std::to_string(id) +
           " peer=" + std::to_string(sends ? m.to : m.from) + " tag=" + std::to_string(m.tag) +
           " bytes=" + std::to_string(bytes) + " content=" + std::to_string(m.text);
  }
  void send(const Message& m, uint64_t id, const std::string& more = "") {
    post(m, true, id, more);
  }
  void receive(const Message& m, uint64_t id, const std::string& more = "") {
    post(m, false, id, more);
  }
  void post(const Message& m, bool sends, uint64_t id, const std::string& more) {
    Member& member = cluster_.at_slot(sends ? m.from : m.to);
    EXPECT_EQ(cluster_.ask(member, words(m, sends, id) + " " + more, "submitted").number("status"),
              kOk);
  }
  Line end_of(uint32_t slot, uint64_t id, const std::string& more = "") {
    return cluster_.ask(cluster_.at_slot(slot), "wait id=" + std::to_string(id) + " " + more, "op");
  }
  static void expect_good(const Line& line, const Message& m) {
    EXPECT_EQ(line.number("status"), kOk) << line.raw;
    EXPECT_EQ(line.number("bytes"), m.bytes) << line.raw;
    EXPECT_EQ(line.number("wrong"), 0u) << line.raw;
  }
  void kill(uint32_t slot) {
    Process& process = *cluster_.at_slot(slot).process;
    process.signal(SIGKILL);
    EXPECT_TRUE(process.wait(cluster_.deadline()));
    cluster_.drop(slot);
  }

  Cluster cluster_;
};

TEST_F(Messages, OfAllSizesArriveAtEveryPeerAlsoTheOwn) {
  uint64_t id = 1;
  for (const uint64_t bytes :
       {uint64_t{0}, uint64_t{1}, kEager, kEager + 1, uint64_t{300'003}, kLarge + 7}) {
    for (uint32_t from = 0; from < 3; ++from) {
      for (uint32_t to = 0; to < 3; ++to, ++id) {
        const Message m{from, to, bytes, id % 2, id};
        if (id % 3 == 0) receive(m, 2 * id);
        send(m, 2 * id + 1);
        if (id % 3 != 0) receive(m, 2 * id);
        expect_good(end_of(from, 2 * id + 1, "final=1"), m);
        expect_good(end_of(to, 2 * id), m);
      }
    }
  }
}

TEST_F(Messages, KeepTheOrderOfTheirChannelAndWaitForNoOther) {
  // Nobody receives of channel 9 until all of channel 8 is through.
  const Message other{0, 1, kLarge, 9, 999};
  send(other, 1);
  std::mt19937_64 random(seed());
  std::vector<Message> all;
  for (uint64_t i = 0; i < 60; ++i)
    all.push_back({0, 1, random() % 3 == 0 ? 50'000 + i : i * 7, 8, i});
  for (uint64_t i = 0; i < all.size(); ++i) send(all[i], 100 + i);
  for (uint64_t i = 0; i < all.size(); ++i) receive(all[i], 100 + i);
  for (uint64_t i = 0; i < all.size(); ++i) expect_good(end_of(1, 100 + i), all[i]);
  receive(other, 1);
  expect_good(end_of(1, 1), other);
  expect_good(end_of(0, 1), other);
}

// More than one partner may keep of another: what is over that waits for its receive.
TEST_F(Messages, ManySmallOnesAreTakenByAReceiverThatComesLate) {
  constexpr uint64_t kMessages = 400;
  for (uint64_t i = 0; i < kMessages; ++i) send({0, 1, 8000, 5, i}, i);
  EXPECT_EQ(end_of(0, kMessages - 1, "wait_ms=100").number("status"), 1u)
      << "over 1 MiB a send waits";
  for (uint64_t i = 0; i < kMessages; ++i) receive({0, 1, 8000, 5, i}, i);
  for (uint64_t i = 0; i < kMessages; ++i) expect_good(end_of(1, i), {0, 1, 8000, 5, i});
  expect_good(end_of(0, kMessages - 1, "final=1"), {0, 1, 8000, 5, kMessages - 1});
}

TEST_F(Messages, ToOneThatIsKilledAreLostAndANewcomerInItsSlotGetsNone) {
  for (const uint64_t bytes : {uint64_t{100}, kLarge}) {
    const uint64_t id = bytes;
    send({0, 2, bytes, 4, 1}, id);
    receive({2, 0, bytes, 4, 1}, id + 1);
    kill(2);
    const Line sent = end_of(0, id, "final=1"), received = end_of(0, id + 1);
    for (const Line& line : {sent, received})
      EXPECT_EQ(line.number("status"), kPeerLost) << line.raw;
    EXPECT_EQ(received.number("culprit"), 2u) << received.raw;
    // The slot is vacant.
    send({0, 2, bytes, 4, 1}, id + 2);
    EXPECT_EQ(end_of(0, id + 2).number("status"), kPeerLost);
    cluster_.replace(1);
    const Message fresh{0, 2, bytes, 4, 77};
    receive(fresh, id + 3);
    send(fresh, id + 4);
    expect_good(end_of(2, id + 3), fresh);
    expect_good(end_of(0, id + 4, "final=1"), fresh);
  }
}

// A chain of stages through which large messages run, and one outside of it dies at a random point:
// they all arrive, once and whole.
TEST_F(Messages, BetweenOthersSurviveADeath) {
  std::mt19937_64 random(seed());
  uint32_t rebuilt = 0;
  for (uint32_t kill_count = 0; kill_count < 8 && !cluster_.hung(); ++kill_count) {
    const uint64_t id = 1000 * (kill_count + 1);
    std::vector<Message> all;
    for (uint64_t i = 0; i < 12; ++i)
      all.push_back({i % 3 == 0, i % 3 != 0, i % 4 == 0 ? 3000 : kLarge / 4, i % 2, id + i});
    const uint64_t us = 1 + random() % 30'000;
    cluster_.at_slot(2).process->tell("send id=1 peer=0 tag=50 bytes=1 kill_us=" +
                                      std::to_string(us));
    for (uint64_t i = 0; i < all.size(); ++i) {
      send(all[i], id + 2 * i);
      receive(all[i], id + 2 * i + 1);
    }
    for (uint64_t i = 0; i < all.size(); ++i) {
      expect_good(end_of(all[i].from, id + 2 * i, "final=1"), all[i]);
      const Line line = end_of(all[i].to, id + 2 * i + 1);
      expect_good(line, all[i]);
      rebuilt += line.number("rebuilds") > 0;
    }
    EXPECT_TRUE(cluster_.at_slot(2).process->wait(cluster_.deadline()));
    cluster_.drop(2);
    cluster_.replace(1);
    if (HasFailure()) return;
  }
  std::printf("messages that were open over a change of view: %u\n", rebuilt);
}

TEST_F(Messages, FromOneThatIsKilledInTheMiddleAreLostAndNothingIsWrittenAfterwards) {
  std::mt19937_64 random(seed());
  for (uint32_t i = 0; i < 6 && !cluster_.hung(); ++i) {
    const Message m{2, 0, kLarge, 3, i};
    receive(m, 10 + i);
    cluster_.at_slot(2).process->tell(words(m, true, 1) +
                                      " kill_us=" + std::to_string(1 + random() % 20'000));
    const Line line = end_of(0, 10 + i);
    if (line.number("status") == kOk)
      expect_good(line, m);
    else
      EXPECT_EQ(line.number("status"), kPeerLost) << line.raw;
    EXPECT_TRUE(cluster_.at_slot(2).process->wait(cluster_.deadline()));
    cluster_.drop(2);
    cluster_.replace(1);
  }
  expect_all_reduce(cluster_, 5000);
}

TEST_F(Messages, OfOneThatStandsStillForTooLongAreLost) {
  const Message m{2, 0, kLarge, 3, 1};
  receive(m, 1);
  send({0, 2, kLarge, 3, 1}, 2);
  cluster_.at_slot(2).process->signal(SIGSTOP);
  EXPECT_EQ(end_of(0, 1).number("status"), kPeerLost);
  EXPECT_EQ(end_of(0, 2).number("status"), kPeerLost);
  cluster_.at_slot(2).process->signal(SIGKILL);
  cluster_.drop(2);
}

TEST_F(Messages, ThatWereSentAreTakenBeforeTheSenderHasLeft) {
  const Message m{2, 0, 5000, 3, 1};
  send(m, 1);
  expect_good(end_of(2, 1), m);
  cluster_.at_slot(2).process->tell("leave timeout_ms=60000");
  receive(m, 2);
  expect_good(end_of(0, 2), m);
  EXPECT_EQ(cluster_.answer(cluster_.at_slot(2), "left").number("status"), kOk);
  send({0, 2, 10, 0, 0}, 3);
  EXPECT_EQ(end_of(0, 3, "final=1").number("status"), kPeerLost);
}

TEST_F(Messages, GoOnWhileTheCoordinatorIsGone) {
  cluster_.kill_coordinator();
  const Message m{0, 1, kLarge, 3, 1};
  receive(m, 1);
  send(m, 2);
  expect_good(end_of(1, 1), m);
  expect_good(end_of(0, 2), m);
}

}  // namespace
}  // namespace rhz::test
