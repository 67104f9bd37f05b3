// The runtime's own memory for one large all-reduce in place, by the peak of the resident set; open files and threads over many joins.
#include <gtest/gtest.h>
#include <poll.h>

#include <csignal>
#include <filesystem>
#include <iostream>

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

// ---- what does not grow with the number of joins

struct Holdings {
  size_t files = 0, threads = 0;
  friend bool operator==(const Holdings&, const Holdings&) = default;
};
std::ostream& operator<<(std::ostream& out, const Holdings& h) { return out << h.files << " open files, " << h.threads << " threads"; }

size_t entries_of(const std::string& folder) {
  std::error_code error;  // a file may be gone meanwhile
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder, error), {}));
}
Holdings holdings(const Process& process) {
  const std::string of = "/proc/" + std::to_string(process.pid());
  return {entries_of(of + "/fd"), entries_of(of + "/task")};
}

// The connections of those who are gone may be ended a moment later than the others go on.
void expect_holdings(Cluster& cluster, const Process& process, const Holdings& expected) {
  for (const Deadline deadline = cluster.deadline(); holdings(process) != expected && Clock::now() < deadline;)
    (void)poll(nullptr, 0, 5);
  EXPECT_EQ(holdings(process), expected);
}

TEST(Holdings, OfCoordinatorAndSurvivorsAreTheSameAfterTwentyReplacements) {
  constexpr uint32_t kReplacements = 20;
  Cluster cluster({.world = 3, .log = true, .rank_options = "state_bytes=65536"});
  cluster.found();
  Holdings coordinator, survivor;
  for (uint32_t round = 0; round <= kReplacements && !cluster.hung(); ++round) {
    const uint32_t victim = 1 + round % 2;
    cluster.at_slot(victim).process->signal(SIGKILL);
    ASSERT_TRUE(cluster.at_slot(victim).process->wait(cluster.deadline()));
    cluster.drop(victim);
    cluster.replace(1);
    for (uint64_t op = 0; op < 10; ++op) expect_all_reduce(cluster, 1 + 10 * round + op);
    if (round > 0) continue;
    coordinator = holdings(cluster.coordinator());
    survivor = holdings(*cluster.at_slot(0).process);
  }
  ASSERT_FALSE(cluster.hung());
  expect_holdings(cluster, cluster.coordinator(), coordinator);
  expect_holdings(cluster, *cluster.at_slot(0).process, survivor);
  std::cout << "coordinator: " << coordinator << "; survivor: " << survivor << "\n";
}

}  // namespace
}  // namespace rhz::test
