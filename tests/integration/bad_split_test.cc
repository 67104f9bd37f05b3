// Splits that are wrong, and calls that a sub-communicator does not have.
#include "runtime/agreement/group.h"
#include "tests/integration/split.h"

namespace rhz::test {
namespace {

TEST(BadSplit, OfAWrongChoiceIsRefusedByItself) {
  LocalRun run(1);
  rhz_comm* comm = run.create();
  auto params = sized<rhz_split_params>();
  rhz_comm* made = nullptr;
  expect_refused(rhz_comm_split(comm, &params, &made), RHZ_ERR_STATE, {"rhz_comm_join"});
  ASSERT_EQ(rhz_comm_join(comm, kPatienceMs), RHZ_OK) << rhz_last_error();
  expect_refused(rhz_comm_split(nullptr, &params, &made), RHZ_ERR_ARGUMENT,
                 {"communicator is NULL"});
  expect_refused(rhz_comm_split(comm, nullptr, &made), RHZ_ERR_ARGUMENT,
                 {"rhz_split_params is NULL"});
  expect_refused(rhz_comm_split(comm, &params, nullptr), RHZ_ERR_ARGUMENT, {"out_comm is NULL"});
  params.colour = -2;
  expect_refused(rhz_comm_split(comm, &params, &made), RHZ_ERR_ARGUMENT,
                 {"colour -2", "RHZ_SPLIT_NONE"});
  params.colour = 0;
  params.reserved = 1;
  expect_refused(rhz_comm_split(comm, &params, &made), RHZ_ERR_ARGUMENT, {"reserved"});
  const rhz_split_params sizeless{};
  expect_refused(rhz_comm_split(comm, &sizeless, &made), RHZ_ERR_ABI, {"sizeof(rhz_split_params)"});
  EXPECT_EQ(made, nullptr);
  params.reserved = 0;
  params.colour = INT32_MAX;
  params.key = INT32_MIN;
  ASSERT_EQ(rhz_comm_split(comm, &params, &made), RHZ_OK) << rhz_last_error();
  expect_sum({made});
}

TEST(BadSplit, WhereOthersSubmitSomethingElseIsAMismatch) {
  LocalRun run(2);
  const auto comms = run.found();
  float value = 1;
  rhz_op* op = begin_sum(comms[0], &value);
  const auto parts = split({comms[1]}, {{0, 0}});
  EXPECT_EQ(parts[0].status, RHZ_ERR_MISMATCH) << parts[0].text;
  EXPECT_NE(parts[0].text.find("submitted split"), std::string::npos) << parts[0].text;
  EXPECT_EQ(parts[0].comm, nullptr);
  EXPECT_EQ(outcome(op), RHZ_ERR_MISMATCH);
  expect_sum(comms);
}

TEST(BadSplit, IntoMoreThanAPeerCanHaveFailsOnEveryRank) {
  LocalRun run(2);
  const auto comms = run.found();
  // The first rank has all it can have; the second one has none.
  std::vector<rhz_comm*> made;
  for (uint32_t i = 0; i < kMaxSubgroups; ++i)
    made.push_back(expect_split(comms, {{0, 0}, {RHZ_SPLIT_NONE, 0}})[0]);
  for (const Part& part : split(comms, {{0, 0}, {1, 0}})) {
    EXPECT_EQ(part.status, RHZ_ERR_STATE);
    EXPECT_NE(part.text.find("slot 0 has 64 sub-communicators"), std::string::npos) << part.text;
  }
  expect_split(comms, {{RHZ_SPLIT_NONE, 0}, {1, 0}});
  expect_sum({made[17]});
  rhz_comm_close(made[17]);
  expect_split(comms, {{0, 0}, {0, 0}});
  expect_sum(comms);
}

TEST(BadSplit, DoesNotGiveWhatBelongsToTheRun) {
  LocalRun run(1);
  rhz_comm* comm = run.found()[0];
  rhz_comm* part = expect_split({comm}, {{0, 0}})[0];
  rhz_op* op = nullptr;
  expect_refused(rhz_admit(part, &op), RHZ_ERR_STATE, {"sub-communicator"});
  expect_refused(rhz_comm_leave(part, 1), RHZ_ERR_STATE, {"sub-communicator", "closed"});
  expect_refused(rhz_comm_join(part, 1), RHZ_ERR_STATE, {"sub-communicator"});
  EXPECT_EQ(rhz_comm_publish(part, "loss", 1), RHZ_OK) << rhz_last_error();
  void* memory = nullptr;
  ASSERT_EQ(rhz_alloc(part, 4096, &memory), RHZ_OK) << rhz_last_error();
  EXPECT_EQ(rhz_free(comm, memory), RHZ_OK) << rhz_last_error();
  expect_sum({part});
}

}  // namespace
}  // namespace rhz::test
