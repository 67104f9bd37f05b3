// The runtime's own memory for one large all-reduce in place, by the peak of the resident set.
#include <gtest/gtest.h>

#include "tests/integration/expect.h"

namespace rhz::test {
namespace {

constexpr uint64_t kMiB = 1u << 20;
constexpr uint64_t kBytes = 256 * kMiB;
constexpr uint64_t kCount = kBytes / sizeof(float);
// Tables of chunks, frames on their way: what is not payload.
constexpr uint64_t kBooks = kMiB / 2;
// Of the bulk lanes in shared memory, one each way: they belong to the connection, but no op before has touched them.
constexpr uint64_t kRings = 2 * kMiB;

// The largest growth over both ranks.
uint64_t growth(const std::string& options) {
  Cluster cluster({.world = 2, .patience = Milliseconds(3 * kPatienceMs)});
  cluster.found();
  expect_all_reduce(cluster, 1);  // connections, threads
  cluster.all("prepare count=" + std::to_string(kCount), "prepared");
  cluster.all("reset_peak", "reset");
  std::vector<uint64_t> before;
  for (Member& member : cluster.members()) before.push_back(member.process->resident_bytes());
  const auto lines = cluster.all(
      "allreduce id=2 in_place=1 count=" + std::to_string(kCount) + " " + options, "op");
  expect_one_result(lines);
  uint64_t most = 0;
  for (size_t i = 0; i < before.size(); ++i)
    most = std::max(most, cluster.members()[i].process->peak_bytes() - before[i]);
  std::printf("in place, %llu MiB, %s: grown by %.1f MiB\n",
              static_cast<unsigned long long>(kBytes / kMiB), options.c_str(),
              static_cast<double>(most) / kMiB);
  return most;
}

TEST(Memory, OfAStrictAllReduceInPlaceIsAtMostTheSizeOfTheOp) {
  EXPECT_LE(growth("rebuild=strict"), kBytes + kBooks + kRings);
}

TEST(Memory, OfAnAllReduceInPlaceThatMayKeepIsAtMost64MiB) {
  EXPECT_LE(growth("rebuild=keep redop=avg"), 64 * kMiB);
}

}  // namespace
}  // namespace rhz::test
