// rhz_group_begin … rhz_group_end.
#include <algorithm>
#include <random>
#include <set>
#include <thread>

#include "tests/integration/expect.h"
#include "tests/integration/local_run.h"

namespace rhz::test {
namespace {

class Group : public testing::Test {
 protected:
  explicit Group(uint32_t world = 2) : run_(world), comms_(run_.found()) {}
  ~Group() override { expect_sum(comms_); }

  struct Part {
    std::vector<float> buffer;
    rhz_op* op = nullptr;
  };
  // In place, so that the result is in the buffer.
  static void reduce(rhz_comm* comm, Part& part, uint64_t count, float value, uint32_t redop = 0) {
    part.buffer.assign(count, value);
    auto params = floats(nullptr, part.buffer.data(), count);
    params.redop = redop;
    params.timeout_ms = 20'000;
    EXPECT_EQ(rhz_allreduce(comm, &params, &part.op), RHZ_OK) << rhz_last_error();
  }
  static rhz_op_info info_of(rhz_op* op) {
    auto info = sized<rhz_op_info>();
    EXPECT_EQ(rhz_op_info_get(op, &info), RHZ_OK);
    return info;
  }

  LocalRun run_;
  std::vector<rhz_comm*> comms_;
};

TEST_F(Group, FusesSmallAllReducesOfOneKindAndKeepsTheOthersInOrder) {
  constexpr uint64_t kCounts[] = {1, 100, 0, 5000, 7, 20'000, 3};
  std::vector<Part> parts[2];
  std::vector<rhz_op*> barriers;
  for (uint32_t r : {0u, 1u}) {
    parts[r].resize(std::size(kCounts) + 2);
    EXPECT_EQ(rhz_group_begin(), RHZ_OK);
    for (size_t i = 0; i < std::size(kCounts); ++i)
      reduce(comms_[r], parts[r][i], kCounts[i], static_cast<float>(i + r));
    reduce(comms_[r], parts[r][7], 50, static_cast<float>(r), RHZ_REDOP_MAX);
    rhz_op* barrier = nullptr;
    EXPECT_EQ(rhz_barrier(comms_[r], &barrier), RHZ_OK);
    barriers.push_back(barrier);
    reduce(comms_[r], parts[r][8], 9, 4);
    EXPECT_EQ(rhz_op_poll(parts[r][0].op), RHZ_PENDING);
    EXPECT_EQ(rhz_group_end(), RHZ_OK) << rhz_last_error();
  }
  uint64_t seq[9] = {};
  for (uint32_t r : {0u, 1u}) {
    for (size_t i = 0; i < 9; ++i) {
      EXPECT_EQ(rhz_op_wait(parts[r][i].op, 0, 0), RHZ_OK) << rhz_last_error();
      const auto info = info_of(parts[r][i].op);
      seq[i] = info.op_seq;
      EXPECT_EQ(info.bytes, parts[r][i].buffer.size() * 4);
      EXPECT_EQ(info.contributors_min, 2u);
      const float right = i == 7 ? 1.0f : i == 8 ? 8.0f : static_cast<float>(2 * i + 1);
      for (float value : parts[r][i].buffer) ASSERT_EQ(value, right) << i;
      uint32_t slots[2], slots_count = 2;
      EXPECT_EQ(rhz_op_contributors(parts[r][i].op, 0, slots, &slots_count), RHZ_OK);
      EXPECT_EQ(
          rhz_op_contributors(parts[r][i].op, std::max<uint64_t>(1, parts[r][i].buffer.size()),
                              slots, &slots_count),
          RHZ_ERR_ARGUMENT);
    }
  }
  // 20 000 floats are over 64 KiB: alone, between those before and those behind.
  EXPECT_EQ(std::vector<uint64_t>(seq, seq + 9),
            (std::vector<uint64_t>{seq[0], seq[0], seq[0], seq[0], seq[0], seq[0] + 1, seq[0] + 2,
                                   seq[0] + 3, seq[0] + 5}));
  for (rhz_op* barrier : barriers) EXPECT_EQ(outcome(barrier), RHZ_OK);
  for (uint32_t r : {0u, 1u})
    for (Part& part : parts[r]) EXPECT_EQ(rhz_op_release(part.op), RHZ_OK);
}

TEST_F(Group, FusesNoMoreThanItsBound) {
  std::vector<Part> parts[2];
  for (uint32_t r : {0u, 1u}) {
    parts[r].resize(40);
    EXPECT_EQ(rhz_group_begin(), RHZ_OK);
    for (Part& part : parts[r]) reduce(comms_[r], part, 16'384, 1);  // 64 KiB each, four to an op
    EXPECT_EQ(rhz_group_end(), RHZ_OK);
  }
  for (uint32_t r : {0u, 1u}) {
    for (Part& part : parts[r]) EXPECT_EQ(rhz_op_wait(part.op, 0, 0), RHZ_OK);
    std::set<uint64_t> ops;  // between whose numbers that of a measuring op may lie
    for (Part& part : parts[r]) ops.insert(info_of(part.op).op_seq);
    EXPECT_EQ(ops.size(), 10u);
    for (Part& part : parts[r]) EXPECT_EQ(outcome(part.op), RHZ_OK);
  }
}

// Also where the sums of the counts are equal.
TEST_F(Group, OfOtherPartsIsAMismatchOnEveryRank) {
  const std::vector<std::vector<uint64_t>> cases[] = {{{10, 20}, {20, 10}},
                                                      {{10, 20}, {30}},
                                                      {{10, 20}, {10, 20, 5}},
                                                      {{10, 20}, {10, 21}},
                                                      {{1, 1, 1}, {3}}};
  for (const auto& counts : cases) {
    std::vector<Part> parts[2];
    for (uint32_t r : {0u, 1u}) {
      parts[r].resize(counts[r].size());
      EXPECT_EQ(rhz_group_begin(), RHZ_OK);
      for (size_t i = 0; i < counts[r].size(); ++i) reduce(comms_[r], parts[r][i], counts[r][i], 1);
      EXPECT_EQ(rhz_group_end(), RHZ_OK);
    }
    for (uint32_t r : {0u, 1u}) {
      for (Part& part : parts[r]) {
        std::string text;
        EXPECT_EQ(outcome(part.op, &text), RHZ_ERR_MISMATCH);
        EXPECT_NE(text.find("several all-reduces in one"), std::string::npos) << text;
      }
    }
  }
}

TEST_F(Group, SubmittedByOneRankInAGroupAndByTheOtherOneByOneIsAMismatch) {
  std::vector<Part> parts[2];
  for (uint32_t r : {0u, 1u}) {
    parts[r].resize(2);
    if (r == 0) {
      EXPECT_EQ(rhz_group_begin(), RHZ_OK);
    }
    for (Part& part : parts[r]) reduce(comms_[r], part, 10, 1);
    if (r == 0) {
      EXPECT_EQ(rhz_group_end(), RHZ_OK);
    }
  }
  for (Part& part : parts[0]) EXPECT_EQ(outcome(part.op), RHZ_ERR_MISMATCH);
  EXPECT_EQ(outcome(parts[1][0].op), RHZ_ERR_MISMATCH);
  // The other one waits for company; it has it now.
  Part last;
  reduce(comms_[0], last, 10, 1);
  EXPECT_EQ(outcome(parts[1][1].op), RHZ_OK);
  EXPECT_EQ(outcome(last.op), RHZ_OK);
}

TEST_F(Group, MayBeNestedAndTheOutermostEndCounts) {
  Part parts[2];
  for (uint32_t r : {0u, 1u}) {
    EXPECT_EQ(rhz_group_begin(), RHZ_OK);
    EXPECT_EQ(rhz_group_begin(), RHZ_OK);
    reduce(comms_[r], parts[r], 10, 1);
    EXPECT_EQ(rhz_group_end(), RHZ_OK);
    expect_refused(rhz_op_wait(parts[r].op, 0, 0), RHZ_ERR_STATE, {"rhz_group_end"});
    EXPECT_EQ(rhz_op_poll(parts[r].op), RHZ_PENDING);
    EXPECT_EQ(rhz_op_release(parts[r].op), RHZ_ERR_STATE);
    EXPECT_EQ(rhz_group_end(), RHZ_OK);
  }
  for (Part& part : parts) EXPECT_EQ(outcome(part.op), RHZ_OK);
  expect_refused(rhz_group_end(), RHZ_ERR_STATE, {"without rhz_group_begin"});
}

TEST_F(Group, OfSendsAndReceivesCannotWaitForItself) {
  constexpr uint64_t kBytes = 1u << 20;
  std::vector<uint8_t> send[2], recv[2];
  std::vector<rhz_op*> ops;
  for (uint32_t r : {0u, 1u}) {
    send[r].assign(kBytes, static_cast<uint8_t>(r + 1));
    recv[r].assign(2 * kBytes, 0);
    EXPECT_EQ(rhz_group_begin(), RHZ_OK);
    for (uint32_t peer : {0u, 1u}) {  // everybody to everybody
      auto p = sized<rhz_message_params>();
      p.bytes = kBytes;
      p.peer_slot = peer;
      p.send = send[r].data();
      rhz_op* op = nullptr;
      EXPECT_EQ(rhz_send(comms_[r], &p, &op), RHZ_OK);
      ops.push_back(op);
      p.recv = recv[r].data() + peer * kBytes;
      EXPECT_EQ(rhz_recv(comms_[r], &p, &op), RHZ_OK);
      ops.push_back(op);
    }
    EXPECT_EQ(rhz_group_end(), RHZ_OK);
  }
  for (rhz_op* op : ops) EXPECT_EQ(outcome(op), RHZ_OK);
  for (uint32_t r : {0u, 1u})
    for (uint64_t i = 0; i < 2 * kBytes; ++i) ASSERT_EQ(recv[r][i], i / kBytes + 1);
}

TEST_F(Group, CancelsAllThatWereFusedWithTheOneThatIsCancelled) {
  Part parts[2][2];
  for (uint32_t r : {0u, 1u}) {
    EXPECT_EQ(rhz_group_begin(), RHZ_OK);
    for (Part& part : parts[r]) reduce(comms_[r], part, 10, 1);
    if (r == 0) {
      EXPECT_EQ(rhz_op_cancel(parts[0][1].op), RHZ_OK);
    }
    EXPECT_EQ(rhz_group_end(), RHZ_OK);
    // Over before the other rank comes, which could complete it.
    for (Part& part : parts[r]) EXPECT_EQ(outcome(part.op), RHZ_ERR_CANCELLED);
  }
}

TEST_F(Group, WhoseCommunicatorIsClosedInsideEndsSo) {
  rhz_comm* alone = run_.create();
  Part part;
  EXPECT_EQ(rhz_group_begin(), RHZ_OK);
  reduce(alone, part, 10, 1);
  Part parts[2];
  for (uint32_t r : {0u, 1u}) reduce(comms_[r], parts[r], 10, 1);
  run_.close(alone);
  expect_refused(rhz_group_end(), RHZ_ERR_CLOSED, {"closed"});
  EXPECT_EQ(outcome(part.op), RHZ_ERR_CLOSED);
  for (Part& one : parts) EXPECT_EQ(outcome(one.op), RHZ_OK) << "the others of the group go on";
}

TEST_F(Group, BelongsToItsThreadAndEndsWithIt) {
  Part part, parts[2];
  EXPECT_EQ(rhz_group_begin(), RHZ_OK);
  std::thread([&] {
    for (uint32_t r : {0u, 1u}) reduce(comms_[r], parts[r], 10, 1);
    for (Part& one : parts) EXPECT_EQ(outcome(one.op), RHZ_OK);
    EXPECT_EQ(rhz_group_begin(), RHZ_OK);
    reduce(comms_[0], part, 10, 1);
  }).join();
  EXPECT_EQ(outcome(part.op), RHZ_ERR_CANCELLED);
  EXPECT_EQ(rhz_group_end(), RHZ_OK) << "an empty one";
}

// One rank dies while a group of small all-reduces runs: every part ends alike everywhere.
TEST(GroupKill, OfARankAtAnyPointEndsEveryPartAlike) {
  Cluster cluster({.world = 4});
  cluster.found();
  std::mt19937_64 random(seed());
  for (uint32_t i = 0; i < 20 && !cluster.hung(); ++i) {
    const auto victim = static_cast<uint32_t>(random() % 4);
    const std::string base = "batch first=" + std::to_string(1000 * (i + 1)) +
                             " ops=300 count=" + std::to_string(random() % 500) +
                             (i % 2 ? " rebuild=keep" : "");
    for (Member& member : cluster.members()) {
      const bool dies = member.slot == victim;
      member.process->tell(base + (dies ? " kill_us=" + std::to_string(1 + random() % 8000) : ""));
    }
    EXPECT_TRUE(cluster.at_slot(victim).process->wait(cluster.deadline()));
    cluster.drop(victim);
    const auto lines = cluster.answers("batch");
    for (const Line& line : lines) {
      EXPECT_EQ(line.number("status"), kOk) << line.raw;
      EXPECT_EQ(line.number("wrong"), 0u) << line.raw;
      EXPECT_EQ(line.text("digest"), lines[0].text("digest")) << line.raw;
      EXPECT_LT(line.number("seqs"), 10u) << line.raw;
    }
    if (testing::Test::HasFailure()) FAIL() << cluster.dump();
    cluster.replace(1);
  }
}

}  // namespace
}  // namespace rhz::test
