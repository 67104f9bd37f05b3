// Sends and receives that are wrong by themselves, that do not fit each other, or that nobody
// answers.
#include <numeric>
#include <thread>

#include "tests/integration/local_run.h"

namespace rhz::test {
namespace {

constexpr uint64_t kLarge = 3u << 20;

class BadMessage : public testing::Test {
 protected:
  explicit BadMessage(uint32_t max_world = 3)
      : run_(2, max_world), comms_(run_.found()), a_(kLarge), b_(kLarge) {
    std::iota(a_.begin(), a_.end(), uint8_t{0});
  }
  ~BadMessage() override {
    // Nothing is broken by it, nor is anything left over.
    EXPECT_EQ(outcome(receive(1, 0, 99, 4)), RHZ_ERR_TIMEOUT);
    rhz_op* op = receive(1, 0, 100, 4);
    rhz_op* sent = send(0, 1, 100, 4);
    EXPECT_EQ(outcome(op), RHZ_OK);
    EXPECT_EQ(outcome(sent), RHZ_OK);
    expect_sum(comms_);
  }

  rhz_message_params params(uint32_t peer, uint64_t tag, uint64_t bytes, uint32_t timeout_ms = 0) {
    auto p = sized<rhz_message_params>();
    p.send = a_.data();
    p.recv = b_.data();
    p.bytes = bytes;
    p.tag = tag;
    p.peer_slot = peer;
    p.timeout_ms = timeout_ms;
    return p;
  }
  rhz_op* send(uint32_t from, uint32_t to, uint64_t tag, uint64_t bytes, uint32_t timeout_ms = 0) {
    const auto p = params(to, tag, bytes, timeout_ms);
    rhz_op* op = nullptr;
    EXPECT_EQ(rhz_send(comms_[from], &p, &op), RHZ_OK) << rhz_last_error();
    return op;
  }
  // Waits a moment by itself where nothing is expected to come.
  rhz_op* receive(uint32_t to, uint32_t from, uint64_t tag, uint64_t room,
                  uint32_t timeout_ms = 0) {
    const auto p = params(from, tag, room, tag == 99 ? 20 : timeout_ms);
    rhz_op* op = nullptr;
    EXPECT_EQ(rhz_recv(comms_[to], &p, &op), RHZ_OK) << rhz_last_error();
    return op;
  }
  // What slot 0 told slot 1 before has arrived.
  void settle() {
    rhz_op* op = receive(1, 0, 1000, 4);
    EXPECT_EQ(outcome(send(0, 1, 1000, 4)), RHZ_OK);
    EXPECT_EQ(outcome(op), RHZ_OK);
  }
  static uint64_t size_of(rhz_op* op) {
    auto info = sized<rhz_op_info>();
    EXPECT_EQ(rhz_op_info_get(op, &info), RHZ_OK);
    return info.bytes;
  }

  LocalRun run_;
  std::vector<rhz_comm*> comms_;
  std::vector<uint8_t> a_, b_;
};

TEST_F(BadMessage, WithAParameterThatMakesNoSenseNamesIt) {
  rhz_op* op = nullptr;
  for (const auto call : {rhz_send, rhz_recv}) {
    auto p = params(1, 0, 8);
    expect_refused(call(nullptr, &p, &op), RHZ_ERR_ARGUMENT, {"communicator is NULL"});
    expect_refused(call(comms_[0], nullptr, &op), RHZ_ERR_ARGUMENT, {"rhz_message_params is NULL"});
    expect_refused(call(comms_[0], &p, nullptr), RHZ_ERR_ARGUMENT, {"out_op is NULL"});
    p.struct_size = 0;
    expect_refused(call(comms_[0], &p, &op), RHZ_ERR_ABI, {"sizeof(rhz_message_params)"});
    p = params(1, 0, (uint64_t{1} << 40) + 1);
    expect_refused(call(comms_[0], &p, &op), RHZ_ERR_ARGUMENT, {"2^40"});
    p = params(UINT32_MAX, 0, 8);
    expect_refused(call(comms_[0], &p, &op), RHZ_ERR_ARGUMENT, {"peer_slot 4294967295"});
    p = params(1, 0, 8);
    p.send = p.recv = nullptr;
    expect_refused(call(comms_[0], &p, &op), RHZ_ERR_ARGUMENT, {"is NULL, and bytes is not 0"});
    EXPECT_EQ(op, nullptr);
  }
}

TEST_F(BadMessage, BeforeTheJoinOrAfterTheCloseIsRefused) {
  rhz_op* op = nullptr;
  rhz_comm* alone = run_.create();
  const auto p = params(0, 0, 8);
  expect_refused(rhz_send(alone, &p, &op), RHZ_ERR_STATE, {"rhz_comm_join"});
  run_.close(alone);
  expect_refused(rhz_recv(alone, &p, &op), RHZ_ERR_STATE, {"closed"});
}

TEST_F(BadMessage, ToASlotThatIsVacantIsLost) {
  std::string text;
  EXPECT_EQ(outcome(send(0, 2, 0, 8), &text), RHZ_ERR_PEER_LOST);
  EXPECT_NE(text.find("slot 2"), std::string::npos) << text;
  EXPECT_EQ(outcome(receive(0, 2, 0, 8), &text), RHZ_ERR_PEER_LOST);
  EXPECT_EQ(outcome(send(0, 1000, 0, 8), &text), RHZ_ERR_PEER_LOST);
}

TEST_F(BadMessage, LongerThanItsReceiveIsAMismatchForTheReceiverAndGone) {
  for (const uint64_t bytes : {uint64_t{100}, kLarge}) {
    std::string text;
    rhz_op* sent = send(0, 1, 7, bytes);
    rhz_op* next = send(0, 1, 7, 60);
    b_.assign(kLarge, 0);
    EXPECT_EQ(outcome(receive(1, 0, 7, 99), &text), RHZ_ERR_MISMATCH);
    EXPECT_NE(text.find(std::to_string(bytes) + " bytes"), std::string::npos) << text;
    EXPECT_NE(text.find("room for 99"), std::string::npos) << text;
    EXPECT_EQ(std::accumulate(b_.begin(), b_.end(), 0u), 0u) << "nothing of it was written";
    EXPECT_EQ(outcome(sent), RHZ_OK);
    rhz_op* fits = receive(1, 0, 7, 60);
    EXPECT_EQ(outcome(fits), RHZ_OK);
    EXPECT_EQ(outcome(next), RHZ_OK);
  }
}

TEST_F(BadMessage, ShorterThanItsReceiveTellsItsSize) {
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{100}, kLarge - 1}) {
    rhz_op* sent = send(0, 1, 7, bytes);
    rhz_op* op = receive(1, 0, 7, kLarge);
    EXPECT_EQ(rhz_op_wait(op, 0, 0), RHZ_OK);
    EXPECT_EQ(size_of(op), bytes);
    EXPECT_EQ(rhz_op_release(op), RHZ_OK);
    EXPECT_EQ(outcome(sent), RHZ_OK);
  }
}

TEST_F(BadMessage, OfAnotherTagOrTheOtherWayRoundIsNotTaken) {
  for (const uint64_t bytes : {uint64_t{100}, kLarge}) {
    rhz_op* sent = send(0, 1, 7, bytes);
    EXPECT_EQ(outcome(receive(1, 0, 8, bytes, 50)), RHZ_ERR_TIMEOUT);
    EXPECT_EQ(outcome(receive(0, 1, 7, bytes, 50)), RHZ_ERR_TIMEOUT);
    EXPECT_EQ(outcome(receive(1, 0, 7, bytes)), RHZ_OK);
    EXPECT_EQ(outcome(sent), RHZ_OK);
  }
}

TEST_F(BadMessage, ThatNobodyReceivesIsWithdrawnByItsTimeOutAndTheNextOneTakesItsTurn) {
  std::string text;
  EXPECT_EQ(outcome(send(0, 1, 7, kLarge, 30), &text), RHZ_ERR_TIMEOUT);
  EXPECT_NE(text.find("time-out"), std::string::npos) << text;
  settle();
  rhz_op* next = send(0, 1, 7, kLarge - 5);
  rhz_op* op = receive(1, 0, 7, kLarge);
  EXPECT_EQ(rhz_op_wait(op, 0, 0), RHZ_OK);
  EXPECT_EQ(size_of(op), kLarge - 5);
  EXPECT_EQ(rhz_op_release(op), RHZ_OK);
  EXPECT_EQ(outcome(next), RHZ_OK);
}

TEST_F(BadMessage, ThatIsCancelledEndsAndTheNextOneTakesItsTurn) {
  rhz_op* sent = send(0, 1, 7, kLarge);
  EXPECT_EQ(rhz_op_cancel(sent), RHZ_OK);
  EXPECT_EQ(outcome(sent), RHZ_ERR_CANCELLED);
  settle();
  rhz_op* first = receive(1, 0, 7, 50);
  rhz_op* second = receive(1, 0, 7, 60);
  EXPECT_EQ(rhz_op_poll(first), RHZ_PENDING);
  EXPECT_EQ(rhz_op_release(first), RHZ_ERR_STATE);
  EXPECT_EQ(rhz_op_cancel(first), RHZ_OK);
  EXPECT_EQ(outcome(first), RHZ_ERR_CANCELLED);
  EXPECT_EQ(outcome(send(0, 1, 7, 60)), RHZ_OK);
  EXPECT_EQ(outcome(second), RHZ_OK) << "the first one would have been too small";
}

TEST_F(BadMessage, CancelledWhileItComesEndsAtBothEnds) {
  for (int i = 0; i < 40; ++i) {
    rhz_op* got = receive(1, 0, 7, kLarge);
    rhz_op* sent = send(0, 1, 7, kLarge);
    rhz_op *first = i % 2 ? got : sent, *second = i % 2 ? sent : got;
    for (rhz_op* op : {first, second}) {  // the second one may have nobody any more
      EXPECT_EQ(rhz_op_cancel(op), RHZ_OK);
      const rhz_status status = outcome(op);
      EXPECT_TRUE(status == RHZ_OK || status == RHZ_ERR_CANCELLED) << status;
    }
  }
}

TEST_F(BadMessage, ToItselfIsReceivedLikeAnyOther) {
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{100}, kLarge}) {
    b_.assign(kLarge, 0);
    rhz_op* op = receive(0, 0, 7, bytes);
    EXPECT_EQ(outcome(send(0, 0, 7, bytes)), RHZ_OK);
    EXPECT_EQ(outcome(op), RHZ_OK);
    EXPECT_TRUE(std::equal(b_.begin(), b_.begin() + static_cast<long>(bytes), a_.begin()));
  }
}

TEST_F(BadMessage, OpenWhenItsCommunicatorIsClosedEndsSo) {
  rhz_comm* third = run_.create();
  std::thread joins([&] { EXPECT_EQ(rhz_comm_join(third, 0), RHZ_OK) << rhz_last_error(); });
  for (uint32_t joined = 0; joined == 0;) {
    rhz_op* ops[2] = {};
    for (uint32_t slot : {0u, 1u}) EXPECT_EQ(rhz_admit(comms_[slot], &ops[slot]), RHZ_OK);
    for (rhz_op* op : ops) {
      EXPECT_EQ(rhz_op_wait(op, 0, 0), RHZ_OK) << rhz_last_error();
      auto info = sized<rhz_op_info>();
      EXPECT_EQ(rhz_op_info_get(op, &info), RHZ_OK);
      joined = info.joined;
      EXPECT_EQ(rhz_op_release(op), RHZ_OK);
    }
  }
  joins.join();
  auto p = params(0, 7, kLarge);
  rhz_op *sent = nullptr, *got = nullptr;
  EXPECT_EQ(rhz_send(third, &p, &sent), RHZ_OK);
  EXPECT_EQ(rhz_recv(third, &p, &got), RHZ_OK);
  rhz_op* open = receive(0, 2, 8, kLarge);
  run_.close(third);
  EXPECT_EQ(outcome(sent), RHZ_ERR_CLOSED);
  EXPECT_EQ(outcome(got), RHZ_ERR_CLOSED);
  EXPECT_EQ(outcome(open), RHZ_ERR_PEER_LOST);
}

TEST_F(BadMessage, OneTooManyIsRefused) {
  std::vector<rhz_op*> ops;
  auto p = params(0, 7, 1);
  rhz_op* op = nullptr;
  rhz_status status = RHZ_OK;
  while (ops.size() < 20'000 && (status = rhz_recv(comms_[1], &p, &op)) == RHZ_OK)
    ops.push_back(op);
  expect_refused(status, RHZ_ERR_STATE, {"too many sends and receives"});
  EXPECT_EQ(ops.size(), 16384u);
  for (rhz_op* one : ops) EXPECT_EQ(rhz_op_cancel(one), RHZ_OK);
  for (rhz_op* one : ops) EXPECT_EQ(outcome(one), RHZ_ERR_CANCELLED);
}

}  // namespace
}  // namespace rhz::test
