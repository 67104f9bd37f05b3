// Ranks that submit different ops at the same place: MISMATCH on every rank, with a text that tells
// them apart.
#include <cstdlib>

#include "tests/integration/local_run.h"

namespace rhz::test {
namespace {

using Call = rhz_status (*)(rhz_comm*, const rhz_collective_params*, rhz_op**);

constexpr uint64_t kEager = 16, kBulk = 20'000;  // elements of a block
constexpr uint32_t kHangMs = 5000;               // the time-out of an op: a hang ends as TIMEOUT

class CollectiveMismatch : public testing::TestWithParam<uint64_t> {
 protected:
  struct Op {
    Call call;
    uint32_t root = 0, dtype = RHZ_DTYPE_F32, redop = 0, rebuild = 0;
    uint64_t more = 0;  // elements
  };

  // Rank r submits ops[r]; everybody gets the same error.
  std::string ends(const std::vector<Op>& ops) {
    const size_t world = comms_.size();
    std::vector<std::vector<float>> send(world), recv(world);
    std::vector<rhz_op*> handles(world);
    for (size_t r = 0; r < world; ++r) {
      send[r].assign((GetParam() + 1) * world, 1.0f);
      recv[r] = send[r];
      auto p = sized<rhz_collective_params>();
      p.send = send[r].data();
      p.recv = recv[r].data();
      p.count_elems = GetParam() + ops[r].more;
      p.dtype = ops[r].dtype;
      p.redop = ops[r].redop;
      p.rebuild = ops[r].rebuild;
      p.root_slot = ops[r].root;
      p.world_size = static_cast<uint32_t>(world);
      p.timeout_ms = kHangMs;
      EXPECT_EQ(ops[r].call(comms_[r], &p, &handles[r]), RHZ_OK) << rhz_last_error();
    }
    return end_of(handles);
  }
  static std::string end_of(const std::vector<rhz_op*>& handles) {
    std::vector<std::string> texts(handles.size());
    for (size_t r = 0; r < handles.size(); ++r) {
      EXPECT_EQ(outcome(handles[r], &texts[r]), RHZ_ERR_MISMATCH) << texts[r];
      EXPECT_EQ(texts[r], texts[0]);
    }
    return texts[0];
  }
  static void expect_words(const std::string& text, const std::vector<std::string>& words) {
    for (const auto& word : words) EXPECT_NE(text.find(word), std::string::npos) << text;
  }

  std::vector<rhz_comm*> comms_;
};

TEST_P(CollectiveMismatch, OfRootsEndsAlikeEverywhere) {
  for (const uint32_t world : {2u, 3u}) {
    LocalRun run(world);
    comms_ = run.found();
    for (const Call call : {rhz_broadcast, rhz_reduce, rhz_gather, rhz_scatter}) {
      for (const auto& roots : {std::vector<uint32_t>{0, 1, 0}, {1, 0, 0}, {1, 0, 1}, {0, 1, 2}}) {
        std::vector<Op> ops;
        for (uint32_t r = 0; r < world; ++r) ops.push_back({call, roots[r]});
        expect_words(ends(ops), {"submitted"});
      }
    }
    expect_sum(comms_);
  }
}

TEST_P(CollectiveMismatch, OfKindsEndsAlikeEverywhere) {
  LocalRun run(3);
  comms_ = run.found();
  const Call calls[] = {rhz_broadcast, rhz_reduce,  rhz_allgather, rhz_reduce_scatter,
                        rhz_gather,    rhz_scatter, rhz_alltoall};
  for (const Call one : calls) {
    for (const Call other : calls) {
      if (one == other) continue;
      for (const uint32_t root : {0u, 1u}) {
        const std::string text = ends({{one, root}, {other, root}, {one, root}});
        expect_words(text, {"submitted"});
      }
    }
  }
  expect_sum(comms_);
}

TEST_P(CollectiveMismatch, OfCountsTypesReductionsAndModesEndsAlikeEverywhere) {
  LocalRun run(2);
  comms_ = run.found();
  for (const Call call : {rhz_broadcast, rhz_reduce, rhz_allgather, rhz_reduce_scatter, rhz_gather,
                          rhz_scatter, rhz_alltoall}) {
    ends({{call}, {.call = call, .more = 1}});
    ends({{call}, {.call = call, .dtype = RHZ_DTYPE_I32}});
    ends({{call}, {.call = call, .rebuild = RHZ_REBUILD_KEEP}});
  }
  ends({{rhz_reduce}, {.call = rhz_reduce, .redop = RHZ_REDOP_MAX}});
  ends({{rhz_reduce_scatter}, {.call = rhz_reduce_scatter, .redop = RHZ_REDOP_MAX}});
  expect_sum(comms_);
}

TEST_P(CollectiveMismatch, OfAlgorithmsEndsAlikeEverywhereAndNamesThem) {
  const char* names[] = {"ring", "direct", "doubling", "halving", "tree", "hierarchical"};
  for (const char* one : names) {
    for (const char* other : names) {
      if (one == other) continue;
      SCOPED_TRACE(std::string(one) + " and " + other);
      LocalRun run(2);
      std::vector<rhz_comm*> comms;
      for (const char* name : {one, other}) {
        setenv("RHZ_ALGORITHM", name, 1);
        comms.push_back(run.create(static_cast<uint32_t>(comms.size()) + 1));
      }
      unsetenv("RHZ_ALGORITHM");
      (void)!rhz_comm_join(comms[0], 1);
      for (rhz_comm* comm : {comms[1], comms[0]})
        ASSERT_EQ(rhz_comm_join(comm, 20'000), RHZ_OK) << rhz_last_error();
      std::vector<float> values(GetParam(), 1.0f), sums[2] = {values, values};
      std::vector<rhz_op*> ops(2);
      for (int r : {0, 1}) {
        auto p = floats(values.data(), sums[r].data(), values.size());
        p.timeout_ms = kHangMs;
        ASSERT_EQ(rhz_allreduce(comms[r], &p, &ops[r]), RHZ_OK) << rhz_last_error();
      }
      expect_words(end_of(ops),
                   {std::string("algorithm ") + one, std::string("algorithm ") + other});
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Elements, CollectiveMismatch, testing::Values(kEager, kBulk),
                         testing::PrintToStringParamName());

TEST(Algorithm, ThatNobodyKnowsIsNamedByCreate) {
  LocalRun run(1);
  setenv("RHZ_ALGORITHM", "bestest", 1);
  const auto params = comm_params(run.address());
  rhz_comm* comm = nullptr;
  expect_refused(rhz_comm_create(&params, &comm), RHZ_ERR_ARGUMENT,
                 {"RHZ_ALGORITHM=bestest", "ring", "hierarchical"});
  unsetenv("RHZ_ALGORITHM");
}

}  // namespace
}  // namespace rhz::test
