// The v-variants: calls that are wrong by themselves, and ranks that disagree about counts.
#include <deque>
#include <map>

#include "tests/integration/local_run.h"

namespace rhz::test {
namespace {

using Call = rhz_status (*)(rhz_comm*, const rhz_vcollective_params*, rhz_op**);
using Counts = std::vector<uint64_t>;

const std::map<std::string, Call> kCalls = {{"allgatherv", rhz_allgatherv},
                                            {"gatherv", rhz_gatherv},
                                            {"scatterv", rhz_scatterv},
                                            {"reduce_scatterv", rhz_reduce_scatterv},
                                            {"alltoallv", rhz_alltoallv}};

class BadBlocks : public testing::Test {
 protected:
  BadBlocks() : run_(2), comms_(run_.found()) {
    for (uint32_t slot : {0u, 1u}) {
      send_[slot].assign(kRoom, 1.0f + static_cast<float>(slot));
      recv_[slot].assign(kRoom, 0);
    }
  }
  ~BadBlocks() override { expect_sum(comms_); }  // nothing is broken by it

  static constexpr uint64_t kRoom = 40'000;
  struct Side {
    Counts send, recv, send_displs = {}, recv_displs = {};
  };
  rhz_vcollective_params params(uint32_t slot, const Side& given) {
    const Side& side = sides_.emplace_back(given);
    auto p = sized<rhz_vcollective_params>();
    const auto or_null = [](const Counts& counts) {
      return counts.empty() ? nullptr : counts.data();
    };
    p.send = send_[slot].data();
    p.recv = recv_[slot].data();
    p.send_counts = or_null(side.send);
    p.recv_counts = or_null(side.recv);
    p.send_displs = or_null(side.send_displs);
    p.recv_displs = or_null(side.recv_displs);
    p.dtype = RHZ_DTYPE_F32;
    p.world_size = 2;
    p.timeout_ms = 10'000;  // a hang would end as TIMEOUT
    return p;
  }
  void refused(const std::string& kind, const rhz_vcollective_params& p, rhz_status status,
               const std::vector<std::string>& words) {
    SCOPED_TRACE(kind);
    rhz_op* op = nullptr;
    expect_refused(kCalls.at(kind)(comms_[0], &p, &op), status, words);
    EXPECT_EQ(op, nullptr);
  }
  // Both submit; the same end for both.
  std::string ends(const std::string& kind, rhz_status status, const Side (&sides)[2]) {
    SCOPED_TRACE(kind);
    rhz_op* ops[2] = {};
    for (uint32_t slot : {0u, 1u}) {
      const auto p = params(slot, sides[slot]);
      EXPECT_EQ(kCalls.at(kind)(comms_[slot], &p, &ops[slot]), RHZ_OK) << rhz_last_error();
    }
    return same_end(ops, status);
  }

  LocalRun run_;
  const std::vector<rhz_comm*> comms_;
  std::vector<float> send_[2], recv_[2];
  std::deque<Side> sides_;  // that parameters point to
};

TEST_F(BadBlocks, WithoutCountsThatItNeedsNamesThem) {
  for (const char* kind : {"scatterv", "reduce_scatterv", "alltoallv"})
    refused(kind, params(0, {{}, {1, 1}}), RHZ_ERR_ARGUMENT, {"send_counts is NULL"});
  for (const char* kind : {"allgatherv", "gatherv", "alltoallv"})
    refused(kind, params(0, {{1, 1}, {}}), RHZ_ERR_ARGUMENT, {"recv_counts is NULL"});
}

TEST_F(BadBlocks, WithNumbersThatMakeNoSenseSaysWhich) {
  constexpr uint64_t kTooMany = (uint64_t{1} << 40) + 1;
  for (const auto& [kind, call] : kCalls) {
    refused(kind, params(0, {{1, kTooMany}, {1, kTooMany}}), RHZ_ERR_ARGUMENT,
            {"counts[1]", "2^40"});
    refused(kind, params(0, {{UINT64_MAX, 1}, {UINT64_MAX, 1}}), RHZ_ERR_ARGUMENT, {"counts[0]"});
    refused(kind, params(0, {{1, 1}, {1, 1}, {0, kTooMany}, {0, kTooMany}}), RHZ_ERR_ARGUMENT,
            {"displs[1]"});
    auto p = params(0, {{1, 1}, {1, 1}});
    p.world_size = 0;
    refused(kind, p, RHZ_ERR_ARGUMENT, {"world_size 0"});
    p = params(0, {{1, 1}, {1, 1}});
    p.struct_size = 0;
    refused(kind, p, RHZ_ERR_ABI, {"sizeof(rhz_vcollective_params)"});
    p = params(0, {{1, 1}, {1, 1}});
    p.dtype = 99;
    refused(kind, p, RHZ_ERR_ARGUMENT, {"dtype 99"});
    p = params(0, {{1, 1}, {1, 1}});
    p.send = p.recv = nullptr;
    refused(kind, p, RHZ_ERR_ARGUMENT, {"is NULL, and this rank needs it"});
    rhz_op* op = nullptr;
    expect_refused(call(comms_[0], nullptr, &op), RHZ_ERR_ARGUMENT, {"is NULL"});
  }
}

TEST_F(BadBlocks, ThatOverlapWhereTheyAreWrittenAreRefused) {
  for (const char* kind : {"allgatherv", "gatherv", "alltoallv"})
    refused(kind, params(0, {{4, 4}, {4, 4}, {}, {0, 3}}), RHZ_ERR_OVERLAP,
            {"ranks 0 and 1", "recv"});
  // Read from one place they may be, and an empty one is nowhere.
  const Side fits{{4, 4}, {4, 4}, {0, 3}, {4, 0}};
  EXPECT_EQ(ends("alltoallv", RHZ_OK, {fits, fits}), "");
  const Side empty{{0, 4}, {0, 4}, {0, 0}, {2, 0}};
  EXPECT_EQ(ends("allgatherv", RHZ_OK, {empty, empty}), "");
  auto p = params(0, fits);
  p.recv = send_[0].data();
  refused("alltoallv", p, RHZ_ERR_OVERLAP, {"disjoint"});
}

TEST_F(BadBlocks, WithOtherCountsOnOtherRanksEndAlikeEverywhere) {
  for (const uint64_t scale : {uint64_t{1}, uint64_t{3000}}) {
    const Counts a{2 * scale, 3 * scale}, b{3 * scale, 2 * scale}, c{2 * scale, 4 * scale};
    for (const char* kind : {"allgatherv", "gatherv", "scatterv", "reduce_scatterv"})
      for (const Counts& other : {b, c}) {
        const std::string text = ends(kind, RHZ_ERR_MISMATCH, {{a, a}, {other, other}});
        EXPECT_NE(text.find("submitted"), std::string::npos) << text;
      }
  }
}

TEST_F(BadBlocks, OfWhichAReceiverExpectsAnotherCountEndAlikeEverywhereAndOverrunNothing) {
  for (const uint64_t scale : {uint64_t{1}, uint64_t{3000}}) {
    const Side zero{{scale, 2 * scale}, {scale, 3 * scale}};
    for (const uint64_t wrong : {uint64_t{0}, scale, 4 * scale}) {
      const Side one{{3 * scale, scale}, {wrong, scale}};
      const std::string text = ends("alltoallv", RHZ_ERR_MISMATCH, {zero, one});
      EXPECT_NE(text.find("rank 0 sends " + std::to_string(2 * scale)), std::string::npos) << text;
      EXPECT_NE(text.find("which expects " + std::to_string(wrong)), std::string::npos) << text;
      for (float value : recv_[1]) ASSERT_EQ(value, 0.0f);
    }
    const Side one{{3 * scale, scale}, {2 * scale, scale}};
    EXPECT_EQ(ends("alltoallv", RHZ_OK, {zero, one}), "");
    EXPECT_EQ(recv_[0][scale], 2.0f);
    EXPECT_EQ(recv_[1][2 * scale - 1], 1.0f);
    for (auto& buffer : recv_) buffer.assign(kRoom, 0);
  }
}

// The exchange of counts is an all-gather, and no program's.
TEST_F(BadBlocks, AgainstAnAllGatherOfAsManyNumbersAreAMismatch) {
  const auto v = params(0, {{4, 4}, {4, 4}});
  auto p = sized<rhz_collective_params>();
  uint64_t one[2] = {}, all[4] = {};
  p.send = one;
  p.recv = all;
  p.count_elems = 2;
  p.dtype = RHZ_DTYPE_U64;
  p.rebuild = RHZ_REBUILD_STRICT;
  p.world_size = 2;
  p.timeout_ms = 10'000;
  rhz_op* ops[2] = {};
  EXPECT_EQ(rhz_alltoallv(comms_[0], &v, &ops[0]), RHZ_OK);
  EXPECT_EQ(rhz_allgather(comms_[1], &p, &ops[1]), RHZ_OK);
  for (rhz_op* op : ops) EXPECT_EQ(outcome(op), RHZ_ERR_MISMATCH);
}

TEST_F(BadBlocks, ForAnotherNumberOfRanksThanTheViewHasEndAlikeEverywhere) {
  for (const auto& [kind, call] : kCalls) {
    rhz_op* ops[2] = {};
    const Counts counts{4, 4, 4};
    for (uint32_t slot : {0u, 1u}) {
      auto p = params(slot, {counts, counts});
      p.world_size = 3;
      EXPECT_EQ(call(comms_[slot], &p, &ops[slot]), RHZ_OK) << rhz_last_error();
    }
    for (rhz_op* op : ops) {
      std::string text;
      EXPECT_EQ(outcome(op, &text), RHZ_ERR_PEER_LOST) << kind;
      EXPECT_NE(text.find("its buffers are for 3"), std::string::npos) << text;
    }
  }
}

TEST_F(BadBlocks, CancelledDuringTheExchangeOrBehindItEndAlikeEverywhere) {
  const Side side{{9000, 9000}, {9000, 9000}};
  for (int i = 0; i < 20; ++i) {
    rhz_op* ops[2] = {};
    for (uint32_t slot : {0u, 1u}) {
      const auto p = params(slot, side);
      EXPECT_EQ(rhz_alltoallv(comms_[slot], &p, &ops[slot]), RHZ_OK);
      if (static_cast<uint32_t>(i % 2) == slot) {
        EXPECT_EQ(rhz_op_cancel(ops[slot]), RHZ_OK);
      }
    }
    const rhz_status one = outcome(ops[0]), two = outcome(ops[1]);
    EXPECT_EQ(one, two);
    EXPECT_TRUE(one == RHZ_OK || one == RHZ_ERR_CANCELLED) << one;
    if (one != RHZ_OK) continue;
    // A refused cancel goes to the next op.
    auto p = floats(nullptr, recv_[0].data(), 4), q = floats(nullptr, recv_[1].data(), 4);
    EXPECT_EQ(rhz_allreduce(comms_[0], &p, &ops[0]), RHZ_OK);
    EXPECT_EQ(rhz_allreduce(comms_[1], &q, &ops[1]), RHZ_OK);
    EXPECT_EQ(outcome(ops[0]), outcome(ops[1]));
  }
}

}  // namespace
}  // namespace rhz::test
