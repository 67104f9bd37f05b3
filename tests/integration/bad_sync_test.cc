// Joiners whose tensors or strategy do not fit: errors that say what, and members that go on.
#include <gtest/gtest.h>

#include <vector>

#include "tests/integration/local_run.h"

namespace rhz::test {
namespace {

struct Named {
  const char* name;
  uint32_t dtype;
  uint64_t count;
};

struct BadSync : testing::Test {
  LocalRun run{1, 3};
  std::vector<std::vector<uint64_t>> memory;

  rhz_comm* with(std::vector<Named> tensors, uint64_t value = 0, uint32_t strategy = RHZ_SYNC_POPULAR) {
    rhz_comm* const comm = run.create();
    for (const Named& named : tensors) {
      memory.emplace_back(named.count, value);
      auto tensor = sized<rhz_tensor>();
      tensor.name = named.name;
      tensor.data = memory.back().data();
      tensor.count_elems = named.count;
      tensor.dtype = named.dtype;
      EXPECT_EQ(rhz_state_register(comm, &tensor), RHZ_OK) << rhz_last_error();
    }
    EXPECT_EQ(rhz_sync_strategy(comm, strategy), RHZ_OK);
    return comm;
  }
  static std::vector<Named> usual() { return {{"bias", RHZ_DTYPE_U64, 4}, {"weights", RHZ_DTYPE_F32, 100}}; }
  rhz_comm* founder(uint64_t value = 7, uint32_t strategy = RHZ_SYNC_POPULAR) {
    rhz_comm* const comm = with(usual(), value, strategy);
    EXPECT_EQ(rhz_comm_join(comm, kPatienceMs), RHZ_OK) << rhz_last_error();
    EXPECT_EQ(rhz_state_commit(comm, 1), RHZ_OK);
    return comm;
  }
  // What the joiner's rhz_comm_join says, while the member lets newcomers in.
  static rhz_status enter(rhz_comm* member, rhz_comm* joiner) {
    rhz_status status = rhz_comm_join(joiner, 1);
    while (status == RHZ_PENDING) {
      rhz_op* op = nullptr;
      EXPECT_EQ(rhz_admit(member, &op), RHZ_OK);
      EXPECT_EQ(outcome(op), RHZ_OK);
      status = rhz_comm_join(joiner, 1);
    }
    return status;
  }
};

TEST_F(BadSync, OtherTensorsAreRefusedWithTheTensorAndBothSides) {
  rhz_comm* const member = founder();
  auto expect = [&](std::vector<Named> tensors, std::vector<std::string> words) {
    expect_refused(enter(member, with(std::move(tensors))), RHZ_ERR_DIVERGED, words);
  };
  expect({{"bias", RHZ_DTYPE_U64, 4}, {"weights", RHZ_DTYPE_F32, 99}},
         {"tensor \"weights\" is 99 × f32 here", "100 × f32 at the members"});
  expect({{"bias", RHZ_DTYPE_U64, 4}, {"weights", RHZ_DTYPE_I32, 100}},
         {"tensor \"weights\" is 100 × i32 here", "100 × f32 at the members"});
  expect({{"bias", RHZ_DTYPE_U64, 4}, {"moments", RHZ_DTYPE_F32, 100}, {"weights", RHZ_DTYPE_F32, 100}},
         {"tensor \"moments\" (100 × f32) is registered here, and not by the members"});
  expect({{"weights", RHZ_DTYPE_F32, 100}},
         {"tensor \"bias\" (4 × u64) is registered by the members, and not here"});
  expect({}, {"tensor \"bias\" (4 × u64) is registered by the members"});
  expect_sum({member});
  rhz_comm* const right = with(usual());
  EXPECT_EQ(enter(member, right), RHZ_OK) << rhz_last_error();
  expect_sum({member, right});
}

TEST_F(BadSync, AStrategyIsOneOfThreeAndChosenBeforeTheJoin) {
  rhz_comm* const comm = with(usual());
  expect_refused(rhz_sync_strategy(comm, 3), RHZ_ERR_ARGUMENT, {"strategy 3"});
  expect_refused(rhz_sync_strategy(nullptr, 0), RHZ_ERR_ARGUMENT, {"NULL"});
  ASSERT_EQ(rhz_comm_join(comm, kPatienceMs), RHZ_OK) << rhz_last_error();
  expect_refused(rhz_sync_follow(comm, nullptr, nullptr), RHZ_ERR_STATE, {"before rhz_comm_join"});
  expect_refused(rhz_sync_record(comm, 0, "", 0), RHZ_ERR_ARGUMENT, {"revision is 0"});
  expect_refused(rhz_sync_record(comm, 5, nullptr, 1), RHZ_ERR_ARGUMENT, {"update is NULL"});
  expect_refused(rhz_sync_record(nullptr, 5, "", 0), RHZ_ERR_ARGUMENT, {"NULL"});
  EXPECT_EQ(rhz_sync_record(comm, 5, nullptr, 0), RHZ_OK) << "nobody could ask for it";
  expect_refused(rhz_sync_strategy(comm, RHZ_SYNC_SEND_ONLY), RHZ_ERR_STATE, {"before rhz_comm_join"});
  expect_refused(rhz_sync_info_get(comm, nullptr), RHZ_ERR_ARGUMENT, {"rhz_sync_info is NULL"});
}

TEST_F(BadSync, WhereNobodySendsAJoinerIsRefusedAndTheMembersGoOn) {
  rhz_comm* const member = founder(7, RHZ_SYNC_RECEIVE_ONLY);
  expect_refused(enter(member, with(usual())), RHZ_ERR_STATE, {"nobody sends", "receive-only"});
  expect_sum({member});
}

TEST_F(BadSync, AJoinerThatIsSendOnlyEntersOnlyWithTheMembersState) {
  rhz_comm* const member = founder(7);
  expect_refused(enter(member, with(usual(), 8, RHZ_SYNC_SEND_ONLY)), RHZ_ERR_DIVERGED,
                 {"send-only", "tensor \"bias\"", "revision 1"});
  EXPECT_EQ(memory.back()[0], 8u) << "nothing of its was written";
  rhz_comm* const equal = with(usual(), 7, RHZ_SYNC_SEND_ONLY);
  EXPECT_EQ(enter(member, equal), RHZ_OK) << rhz_last_error();
  auto info = sized<rhz_sync_info>();
  ASSERT_EQ(rhz_sync_info_get(equal, &info), RHZ_OK);
  EXPECT_EQ(info.rest_bytes, 0u);
  EXPECT_EQ(info.equal_bytes, 4 * 8 + 100 * 4u);
  expect_sum({member, equal});
}

TEST_F(BadSync, AJoinerThatIsReceiveOnlyTakesTheState) {
  rhz_comm* const member = founder(7);
  rhz_comm* const joiner = with(usual(), 8, RHZ_SYNC_RECEIVE_ONLY);
  EXPECT_EQ(enter(member, joiner), RHZ_OK) << rhz_last_error();
  EXPECT_EQ(memory.back()[0], 7u);
  auto info = sized<rhz_sync_info>();
  ASSERT_EQ(rhz_sync_info_get(member, &info), RHZ_OK);
  EXPECT_GT(info.served_bytes, 432u);
  EXPECT_GT(info.pause_us, 0u);
  EXPECT_EQ(info.copies, 0u) << "the state is small";
}

}  // namespace
}  // namespace rhz::test
