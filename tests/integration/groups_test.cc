// Sub-communicators of a run that lives in this process: what a program may do with them, and how
// they end.
#include <thread>

#include "tests/integration/split.h"

namespace rhz::test {
namespace {

// Slots 0 1 / 2 3.
const std::vector<Choice> kRows{{0, 0}, {0, 0}, {1, 0}, {1, 0}};
const std::vector<Choice> kColumns{{0, 0}, {1, 0}, {0, 0}, {1, 0}};

TEST(Split, MakesACommunicatorOfEachColourWithItsRanksByKey) {
  LocalRun run(4);
  const auto comms = run.found();
  const auto parts = expect_split(comms, {{7, 3}, {RHZ_SPLIT_NONE, 0}, {7, -5}, {7, 3}});
  EXPECT_EQ(parts[1], nullptr);
  const uint32_t ranks[] = {1, 0, 0, 2};  // equal keys: in the order of the parent
  for (uint32_t slot : {0u, 2u, 3u}) {
    const rhz_view view = view_of(parts[slot]);
    EXPECT_EQ(view.world_size, 3u);
    EXPECT_EQ(view.rank, ranks[slot]) << "slot " << slot;
    EXPECT_EQ(view.slot, slot);
    EXPECT_EQ(view.epoch, view_of(comms[slot]).epoch);
  }
  expect_sum({parts[0], parts[2], parts[3]});
  expect_sum(comms);
}

TEST(Split, LetsOpsOfOverlappingGroupsRunAtTheSameTimeInAnyOrder) {
  LocalRun run(4);
  const auto comms = run.found();
  const auto rows = expect_split(comms, kRows), columns = expect_split(comms, kColumns);
  constexpr uint64_t kCount = 300'000;
  std::vector<std::vector<float>> row(4), column(4);
  std::vector<rhz_op*> ops;
  for (uint32_t slot = 0; slot < 4; ++slot) {
    row[slot].assign(kCount, static_cast<float>(1u << slot));
    column[slot] = row[slot];
    // Half of the ranks begin with their row, the others with their column.
    if (slot % 2) ops.push_back(begin_sum(rows[slot], row[slot].data(), kCount));
    ops.push_back(begin_sum(columns[slot], column[slot].data(), kCount));
    if (slot % 2 == 0) ops.push_back(begin_sum(rows[slot], row[slot].data(), kCount));
  }
  for (rhz_op* op : ops) EXPECT_EQ(outcome(op), RHZ_OK);
  for (uint32_t slot = 0; slot < 4; ++slot) {
    EXPECT_EQ(row[slot], std::vector<float>(kCount, slot < 2 ? 3 : 12));
    EXPECT_EQ(column[slot], std::vector<float>(kCount, slot % 2 ? 10 : 5));
  }
}

TEST(Split, GivesGroupsOfWhichOneDoesNotWaitForAnother) {
  LocalRun run(4);
  const auto comms = run.found();
  const auto rows = expect_split(comms, kRows), columns = expect_split(comms, kColumns);
  rhz_op* waits = begin_barrier(rows[0]);  // slot 1 does not come
  for (int i = 0; i < 20; ++i) expect_sum({columns[0], columns[2]});
  EXPECT_EQ(rhz_op_poll(waits), RHZ_PENDING);
  EXPECT_EQ(outcome(begin_barrier(rows[1])), RHZ_OK);
  EXPECT_EQ(outcome(waits), RHZ_OK);
}

TEST(Split, OfASubCommunicatorWorksAsThatOfTheRun) {
  LocalRun run(4);
  const auto comms = run.found();
  const auto rows = expect_split(comms, kRows);
  // Both rows at once, with the same colours.
  const auto again = expect_split(rows, {{0, 1}, {0, 0}, {0, 1}, {0, 0}});
  EXPECT_EQ(view_of(again[0]).rank, 1u);
  EXPECT_EQ(view_of(again[1]).rank, 0u);
  expect_sum({again[0], again[1]});
  expect_sum({again[2], again[3]});
  const auto alone = expect_split({again[0], again[1]}, {{0, 0}, {1, 0}});
  EXPECT_EQ(view_of(alone[1]).world_size, 1u);
  expect_sum({alone[0]});
}

// Rank r of the sub-communicator is slot 3 - r.
TEST(Split, HasCollectivesWhoseBlocksFollowItsRanks) {
  LocalRun run(4);
  const auto comms = run.found();
  const auto parts = expect_split(comms, {{0, 3}, {0, 2}, {0, 1}, {RHZ_SPLIT_NONE, 0}});
  int32_t got[3][3] = {}, scattered[3] = {};
  std::vector<rhz_op*> ops;
  const int32_t blocks[3] = {100, 101, 102};
  for (uint32_t slot = 0; slot < 3; ++slot) {
    auto params = sized<rhz_collective_params>();
    const auto own = static_cast<int32_t>(slot);
    params.send = &own;
    params.recv = got[slot];
    params.count_elems = 1;
    params.dtype = RHZ_DTYPE_I32;
    params.world_size = 3;
    ops.push_back(nullptr);
    got[slot][2 - slot] = own;
    params.send = nullptr;  // in place
    ASSERT_EQ(rhz_allgather(parts[slot], &params, &ops.back()), RHZ_OK) << rhz_last_error();
    params.send = slot == 1 ? blocks : nullptr;
    params.recv = &scattered[slot];
    params.root_slot = 1;
    ops.push_back(nullptr);
    ASSERT_EQ(rhz_scatter(parts[slot], &params, &ops.back()), RHZ_OK) << rhz_last_error();
  }
  for (rhz_op* op : ops) EXPECT_EQ(outcome(op), RHZ_OK);
  for (uint32_t slot = 0; slot < 3; ++slot) {
    for (int32_t rank = 0; rank < 3; ++rank)
      EXPECT_EQ(got[slot][rank], 2 - rank) << "slot " << slot;
    EXPECT_EQ(scattered[slot], static_cast<int32_t>(102 - slot));
  }
}

TEST(Split, EndsAnOpWhoseRootIsOfAnotherGroup) {
  LocalRun run(2);
  const auto parts = expect_split(run.found(), {{0, 0}, {1, 0}});
  auto params = sized<rhz_collective_params>();
  float value = 0;
  params.recv = &value;
  params.count_elems = 1;
  params.dtype = RHZ_DTYPE_F32;
  params.root_slot = 1;
  rhz_op* op = nullptr;
  ASSERT_EQ(rhz_broadcast(parts[0], &params, &op), RHZ_OK) << rhz_last_error();
  std::string text;
  EXPECT_EQ(outcome(op, &text), RHZ_ERR_PEER_LOST);
  EXPECT_NE(text.find("slot 1"), std::string::npos) << text;
}

TEST(Split, ComparesTheStateOfItsOwnRanksOnly) {
  LocalRun run(3);
  uint64_t state[3] = {5, 5, 6};  // as pipeline stages have
  std::vector<rhz_comm*> comms;
  for (uint32_t slot = 0; slot < 3; ++slot) {
    comms.push_back(run.create(slot + 1));
    auto tensor = sized<rhz_tensor>();
    tensor.name = "state";
    tensor.data = &state[slot];
    tensor.count_elems = 1;
    tensor.dtype = RHZ_DTYPE_U64;
    ASSERT_EQ(rhz_state_register(comms.back(), &tensor), RHZ_OK) << rhz_last_error();
  }
  for (rhz_comm* comm : comms) (void)!rhz_comm_join(comm, 1);
  for (rhz_comm* comm : comms)
    ASSERT_EQ(rhz_comm_join(comm, kPatienceMs), RHZ_OK) << rhz_last_error();
  const auto parts = expect_split(comms, {{0, 0}, {0, 0}, {1, 0}});
  auto verify = [](const std::vector<rhz_comm*>& group, rhz_status expected) {
    std::vector<rhz_op*> ops(group.size());
    for (size_t i = 0; i < group.size(); ++i)
      ASSERT_EQ(rhz_state_verify(group[i], &ops[i]), RHZ_OK) << rhz_last_error();
    for (rhz_op* op : ops) {
      EXPECT_EQ(rhz_op_wait(op, kPatienceMs, 0), expected) << rhz_last_error();
      EXPECT_EQ(rhz_op_release(op), RHZ_OK);
    }
  };
  verify({parts[0], parts[1]}, RHZ_OK);
  verify({parts[2]}, RHZ_OK);
  verify(comms, RHZ_ERR_DIVERGED);
}

TEST(Split, LosesAMemberThatLeavesTheRunAndGoesOn) {
  LocalRun run(3);
  const auto comms = run.found();
  const auto parts = expect_split(comms, {{0, 2}, {0, 1}, {0, 0}});
  ASSERT_EQ(rhz_comm_leave(comms[1], kPatienceMs), RHZ_OK) << rhz_last_error();
  expect_sum({comms[0], comms[2]});
  EXPECT_EQ(view_of(parts[0]).world_size, 2u);
  EXPECT_EQ(view_of(parts[0]).rank, 1u);
  EXPECT_EQ(view_of(parts[2]).rank, 0u);
  expect_sum({parts[0], parts[2]});
}

TEST(Split, HasNoPlaceForWhoComesLaterUntilAllSplitAgain) {
  LocalRun run(2, 3);
  auto comms = run.found();
  const auto before = expect_split(comms, {{0, 0}, {0, 0}});
  rhz_comm* joiner = run.create();
  (void)!rhz_comm_join(joiner, 1);
  for (uint32_t joined = 0; joined == 0;) {
    std::vector<rhz_op*> ops(2);
    for (int i = 0; i < 2; ++i) ASSERT_EQ(rhz_admit(comms[i], &ops[i]), RHZ_OK) << rhz_last_error();
    for (rhz_op* op : ops) {
      ASSERT_EQ(rhz_op_wait(op, kPatienceMs, 0), RHZ_OK) << rhz_last_error();
      auto info = sized<rhz_op_info>();
      ASSERT_EQ(rhz_op_info_get(op, &info), RHZ_OK);
      joined = info.joined;
      EXPECT_EQ(rhz_op_release(op), RHZ_OK);
    }
  }
  ASSERT_EQ(rhz_comm_join(joiner, kPatienceMs), RHZ_OK) << rhz_last_error();
  EXPECT_EQ(view_of(before[0]).world_size, 2u);
  EXPECT_EQ(view_of(comms[0]).world_size, 3u);
  expect_sum(before);
  comms.push_back(joiner);
  expect_sum(expect_split(comms, {{0, 0}, {0, 0}, {0, 0}}));
}

// ---- the end of one

TEST(SubCommunicator, IsClosedWithoutLeavingTheRun) {
  LocalRun run(2);
  const auto comms = run.found();
  const auto parts = expect_split(comms, {{0, 0}, {0, 0}});
  expect_sum(parts);
  for (rhz_comm* part : parts) rhz_comm_close(part);
  rhz_comm_close(parts[0]);  // once more: no harm
  auto view = sized<rhz_view>();
  expect_refused(rhz_comm_view(parts[0], &view), RHZ_ERR_STATE, {"was closed"});
  rhz_op* op = nullptr;
  expect_refused(rhz_barrier(parts[0], &op), RHZ_ERR_STATE, {"was closed"});
  auto params = sized<rhz_split_params>();
  rhz_comm* none = nullptr;
  expect_refused(rhz_comm_split(parts[0], &params, &none), RHZ_ERR_STATE, {"was closed"});
  expect_sum(comms);
  EXPECT_EQ(view_of(comms[0]).world_size, 2u);
}

TEST(SubCommunicator, EndsItsOpenOpsAlikeOnAllRanksWhenOneClosesIt) {
  LocalRun run(3);
  const auto comms = run.found();
  const auto parts = expect_split(comms, {{0, 0}, {0, 0}, {0, 0}});
  float values[2] = {};
  // Slot 2 does not submit it.
  rhz_op* ops[2] = {begin_sum(parts[0], &values[0]), begin_sum(parts[1], &values[1])};
  rhz_comm_close(parts[0]);
  for (rhz_op* op : ops) {
    std::string text;
    EXPECT_EQ(outcome(op, &text), RHZ_ERR_CLOSED);
    EXPECT_NE(text.find("slot 0"), std::string::npos) << text;
  }
  expect_sum(comms);
}

TEST(SubCommunicator, EndsWhatOthersSubmitAfterOneHasClosedIt) {
  LocalRun run(2);
  const auto comms = run.found();
  const auto parts = expect_split(comms, {{0, 0}, {0, 0}});
  rhz_comm_close(parts[1]);
  for (int i = 0; i < 3; ++i) {
    std::string text;
    EXPECT_EQ(outcome(begin_barrier(parts[0]), &text), RHZ_ERR_CLOSED);
    EXPECT_NE(text.find("slot 1"), std::string::npos) << text;
  }
  rhz_comm_close(parts[0]);
  expect_sum(comms);
}

TEST(SubCommunicator, EndsWithTheCommunicatorThatJoinedTheRun) {
  LocalRun run(2);
  const auto comms = run.found();
  const auto parts = expect_split(comms, {{0, 0}, {0, 0}});
  rhz_op* op = begin_barrier(parts[0]);
  run.close(comms[0]);
  EXPECT_EQ(outcome(op), RHZ_ERR_CLOSED);
  expect_refused(rhz_barrier(parts[0], &op), RHZ_ERR_CLOSED, {"closed"});
  auto view = sized<rhz_view>();
  expect_refused(rhz_comm_view(parts[0], &view), RHZ_ERR_CLOSED, {"closed"});
  rhz_comm_close(parts[0]);
}

TEST(SubCommunicator, IsNothingThatALeavingPeerWaitsFor) {
  LocalRun run(2);
  const auto comms = run.found();
  const auto parts = expect_split(comms, {{0, 0}, {0, 0}});
  rhz_comm_close(parts[0]);  // the other one never does
  EXPECT_EQ(rhz_comm_leave(comms[0], kPatienceMs), RHZ_OK) << rhz_last_error();
}

}  // namespace
}  // namespace rhz::test
