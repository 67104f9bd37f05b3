// Every collective but the all-reduce, between real processes: every value on every rank.
#include "tests/integration/collectives.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace rhz::test {
namespace {

constexpr uint64_t kPending = 1;

struct Size {
  const char* dtype;
  uint64_t count;  // of a block
};
// Nothing; one element; eager; the last eager one and the first that is not (16 KiB); several
// chunks with a rest; several MiB.
constexpr Size kSizes[] = {{"u8", 0},        {"i16", 1},      {"f64", 100},   {"f32", 4096},
                           {"f32", 4097},    {"bf16", 9001},  {"i8", 70'003}, {"i64", 50'001},
                           {"u32", 300'007}, {"f64", 300'007}};

bool is_small_float(const std::string& dtype) { return dtype == "f16" || dtype == "bf16"; }

class Collectives : public testing::TestWithParam<uint32_t> {
 protected:
  Collectives() : world_(GetParam()), cluster_({.world = world_}) { cluster_.found(); }

  void run(const CollectiveKind& kind, Size size, uint32_t root, bool in_place, bool vary) {
    if (kind.reduces && is_small_float(size.dtype)) size.dtype = "i16";
    const auto lines = cluster_.all(
        "collective " + command_of(kind, {size.dtype, size.count, root, world_, in_place, vary}, id_++),
        "op");
    expect_steady(lines, kind, world_);
  }

  const uint32_t world_;
  Cluster cluster_;
  uint64_t id_ = 1;
};

TEST_P(Collectives, GiveTheRightValuesOnEveryRank) {
  uint32_t root = 0;
  for (const CollectiveKind& kind : kCollectiveKinds) {
    for (const Size& size : kSizes) {
      for (const bool in_place : {false, true}) {
        if (in_place && !kind.in_place) continue;
        run(kind, size, root++ % world_, in_place, false);
        if (kind.spans) run(kind, size, root++ % world_, in_place, true);
        if (HasFailure())
          FAIL() << kind.name << " of " << size.count << " " << size.dtype
                 << (in_place ? " in place\n" : "\n") << cluster_.dump();
      }
    }
  }
}

TEST_P(Collectives, OfAllKindsInFlightKeepToTheirOwnBuffers) {
  std::vector<uint64_t> ids;
  for (uint32_t round = 0; round < 3; ++round) {
    for (const CollectiveKind& kind : kCollectiveKinds) {
      const uint64_t counts[] = {300, 60'000, 5000};
      const Buffers buffers{"i32", counts[(round + ids.size()) % 3], round % world_, world_,
                            kind.in_place && round == 1, round == 2};
      cluster_.tell_all("submit " + command_of(kind, buffers, id_));
      ids.push_back(id_++);
    }
    cluster_.tell_all("submit count=100000 id=" + std::to_string(id_));
    ids.push_back(id_++);
  }
  // The ranks wait in different orders.
  std::mt19937_64 random(seed());
  std::map<uint64_t, std::vector<Line>> lines;
  for (Member& member : cluster_.members()) {
    std::shuffle(ids.begin(), ids.end(), random);
    for (const uint64_t id : ids) member.process->tell("wait id=" + std::to_string(id));
  }
  for (Member& member : cluster_.members()) {
    for (size_t i = 0; i < ids.size(); ++i) {
      const Line line = cluster_.answer(member, "op");
      lines[line.number("id")].push_back(line);
    }
  }
  EXPECT_EQ(lines.size(), ids.size());
  for (const auto& [id, of_op] : lines) {
    EXPECT_EQ(of_op.size(), world_);
    for (const Line& line : of_op) {
      EXPECT_EQ(line.number("status"), kOk) << line.raw;
      EXPECT_EQ(line.number("wrong"), 0u) << line.raw;
      EXPECT_EQ(line.number("changed"), 0u) << line.raw;
    }
  }
  if (HasFailure()) FAIL() << cluster_.dump();
}

INSTANTIATE_TEST_SUITE_P(Ranks, Collectives, testing::Values(2, 3, 4, 5),
                         testing::PrintToStringParamName());

// More GRANTs than of two neighbours wait for it: all others receive from it.
TEST(CollectivesAhead, OfARankThatComesLateGoOnWhenItComes) {
  constexpr uint64_t kOps = 220;  // 220 × 3 GRANTs
  Cluster cluster({.world = 4});
  cluster.found();
  const CollectiveKind& alltoall = kCollectiveKinds[6];
  auto submit = [&](Member& member) {
    for (uint64_t id = 1; id <= kOps; ++id)
      cluster.ask(member, "submit " + command_of(alltoall, {"f32", 5000}, id), "submitted");
  };
  for (const uint32_t slot : {0u, 1u, 2u}) submit(cluster.at_slot(slot));
  const Line line = cluster.ask(cluster.at_slot(0), "wait id=1 wait_ms=400", "op");
  EXPECT_EQ(line.number("status"), kPending) << line.raw;
  submit(cluster.at_slot(3));
  for (uint64_t id = 1; id <= kOps; ++id) cluster.tell_all("wait id=" + std::to_string(id));
  for (uint64_t id = 1; id <= kOps && !cluster.hung(); ++id)
    expect_steady(cluster.answers("op"), alltoall, 4);
  if (HasFailure()) FAIL() << cluster.dump();
}

}  // namespace
}  // namespace rhz::test
