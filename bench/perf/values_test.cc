// The check of results: right ones pass, and each kind of wrong one does not.
#include <gtest/gtest.h>

#include <vector>

extern "C" {
#include "bench/perf/values.h"
}

namespace {

constexpr int kWorld = 3;
constexpr size_t kCount = 1000;

using Floats = std::vector<float>;

perf_contents contents_of(perf_collective collective, int rank) {
  return {collective, rank, kWorld, kCount, 7, 7};
}

// Every rank's send buffer, large enough for blocks.
std::vector<Floats> sent(perf_collective collective, uint64_t iterations) {
  std::vector<Floats> all(kWorld, Floats(kCount * kWorld));
  for (int rank = 0; rank < kWorld; rank++) {
    perf_contents contents = contents_of(collective, rank);
    perf_fill(&contents, all[static_cast<size_t>(rank)].data());
    for (uint64_t i = 0; i < iterations; i++) {
      perf_set_marks(&contents, all[static_cast<size_t>(rank)].data());
    }
  }
  return all;
}

// What a right library gives `rank`, written down from the definition of each collective.
Floats result_of(perf_collective collective, size_t rank, const std::vector<Floats>& from) {
  const auto sum = [&](size_t i) { return from[0][i] + from[1][i] + from[2][i]; };
  Floats result(kCount * kWorld);
  for (size_t i = 0; i < kCount; i++) {
    if (collective == PERF_ALLREDUCE || collective == PERF_REDUCE) result[i] = sum(i);
    if (collective == PERF_REDUCE_SCATTER) result[i] = sum(rank * kCount + i);
    if (collective == PERF_BROADCAST) result[i] = from[0][i];
    for (size_t other = 0; other < kWorld; other++) {
      if (collective == PERF_ALLGATHER) result[other * kCount + i] = from[other][i];
      if (collective == PERF_ALLTOALL) result[other * kCount + i] = from[other][rank * kCount + i];
    }
  }
  return result;
}

class Values : public testing::TestWithParam<perf_collective> {
 protected:
  // Ranks whose result is defined: not the root of a broadcast, only the root of a reduce.
  static std::vector<int> receivers() {
    if (GetParam() == PERF_REDUCE) return {0};
    if (GetParam() == PERF_BROADCAST) return {1, 2};
    return {0, 1, 2};
  }
  static size_t received() {
    return GetParam() == PERF_ALLGATHER || GetParam() == PERF_ALLTOALL ? kCount * kWorld : kCount;
  }
};

TEST_P(Values, ARightResultPasses) {
  const std::vector<Floats> fresh = sent(GetParam(), 0);
  const std::vector<Floats> later = sent(GetParam(), 2);
  for (int rank : receivers()) {
    perf_contents contents = contents_of(GetParam(), rank);
    const size_t at = static_cast<size_t>(rank);
    EXPECT_STREQ(perf_check_all(&contents, result_of(GetParam(), at, fresh).data()), nullptr);
    contents.last = contents.base + 2;
    EXPECT_STREQ(perf_check_some(&contents, result_of(GetParam(), at, later).data()), nullptr);
  }
}

TEST_P(Values, OneWrongElementIsFoundWhereverItIs) {
  const std::vector<Floats> fresh = sent(GetParam(), 0);
  for (int rank : receivers()) {
    const perf_contents contents = contents_of(GetParam(), rank);
    for (size_t at : {size_t{0}, received() / 2, received() - 1}) {
      Floats result = result_of(GetParam(), static_cast<size_t>(rank), fresh);
      result[at] += 1e-5F;
      EXPECT_NE(perf_check_all(&contents, result.data()), nullptr) << rank << " " << at;
    }
  }
}

TEST_P(Values, TheResultOfAnEarlierIterationIsFound) {
  const std::vector<Floats> before = sent(GetParam(), 1);
  for (int rank : receivers()) {
    perf_contents contents = contents_of(GetParam(), rank);
    contents.last = contents.base + 2;
    const Floats stale = result_of(GetParam(), static_cast<size_t>(rank), before);
    EXPECT_NE(perf_check_some(&contents, stale.data()), nullptr) << rank;
  }
}

std::string name_of(const testing::TestParamInfo<perf_collective>& info) {
  return perf_collective_name(info.param);
}

INSTANTIATE_TEST_SUITE_P(Every, Values,
                         testing::Values(PERF_ALLREDUCE, PERF_REDUCE_SCATTER, PERF_ALLGATHER,
                                         PERF_BROADCAST, PERF_REDUCE, PERF_ALLTOALL),
                         name_of);

TEST(Busbw, HasTheFactorsOfNcclTests) {
  EXPECT_DOUBLE_EQ(perf_busbw_factor(PERF_ALLREDUCE, 4), 1.5);
  EXPECT_DOUBLE_EQ(perf_busbw_factor(PERF_REDUCE_SCATTER, 4), 0.75);
  EXPECT_DOUBLE_EQ(perf_busbw_factor(PERF_ALLGATHER, 4), 0.75);
  EXPECT_DOUBLE_EQ(perf_busbw_factor(PERF_ALLTOALL, 4), 0.75);
  EXPECT_DOUBLE_EQ(perf_busbw_factor(PERF_BROADCAST, 4), 1);
  EXPECT_DOUBLE_EQ(perf_busbw_factor(PERF_REDUCE, 4), 1);
}

TEST(Sizes, AreRoundedDownToWholeBlocksAndNeverNothing) {
  EXPECT_EQ(perf_count(PERF_ALLREDUCE, 4, 3), 1U);
  EXPECT_EQ(perf_count(PERF_ALLGATHER, 4, 3), 1U);
  EXPECT_EQ(perf_count(PERF_ALLGATHER, 1000, 3), 83U);
  EXPECT_EQ(perf_buffer_bytes(PERF_ALLGATHER, 83, 3), 996U);
  EXPECT_EQ(perf_count(PERF_BARRIER, 1000, 3), 0U);
}

}  // namespace
