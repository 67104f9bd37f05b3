// Calls that are wrong by themselves: each is refused with a text that says what to change, and
// breaks nothing.
#include <cstring>

#include "tests/integration/local_run.h"

namespace rhz::test {
namespace {

// A struct as a newer program would pass it: with a field that this library does not know.
template <class T>
struct Newer {
  T known = sized<T>();
  uint64_t unknown = 0;
  Newer() { known.struct_size = sizeof(Newer); }
  T* get() { return &known; }
};

TEST(BadCall, WithANullPointerNamesIt) {
  LocalRun run(1);
  rhz_comm* comm = run.found()[0];
  rhz_comm* none = nullptr;
  rhz_op* op = nullptr;
  float value = 0;
  auto view = sized<rhz_view>();
  const auto params = comm_params(run.address());
  const auto reduce = floats(&value, &value, 1);
  expect_refused(rhz_comm_create(nullptr, &none), RHZ_ERR_ARGUMENT, {"rhz_comm_params is NULL"});
  expect_refused(rhz_comm_create(&params, nullptr), RHZ_ERR_ARGUMENT, {"out_comm is NULL"});
  expect_refused(rhz_comm_join(nullptr, 1), RHZ_ERR_ARGUMENT, {"communicator is NULL"});
  expect_refused(rhz_comm_view(nullptr, &view), RHZ_ERR_ARGUMENT, {"communicator is NULL"});
  expect_refused(rhz_comm_view(comm, nullptr), RHZ_ERR_ARGUMENT, {"rhz_view is NULL"});
  expect_refused(rhz_allreduce(comm, nullptr, &op), RHZ_ERR_ARGUMENT, {"allreduce_params is NULL"});
  expect_refused(rhz_allreduce(comm, &reduce, nullptr), RHZ_ERR_ARGUMENT, {"out_op is NULL"});
  expect_refused(rhz_barrier(comm, nullptr), RHZ_ERR_ARGUMENT, {"out_op is NULL"});
  expect_refused(rhz_op_wait(nullptr, 0, 0), RHZ_ERR_ARGUMENT, {"the op is NULL"});
  expect_refused(rhz_op_cancel(nullptr), RHZ_ERR_ARGUMENT, {"the op is NULL"});
  expect_refused(rhz_state_register(comm, nullptr), RHZ_ERR_ARGUMENT, {"rhz_tensor is NULL"});
  expect_refused(rhz_state_digest(comm, nullptr), RHZ_ERR_ARGUMENT, {"out_digest is NULL"});
  expect_refused(rhz_stage_order(1, 4, nullptr), RHZ_ERR_ARGUMENT, {"out_order is NULL"});
  expect_refused(rhz_comm_publish(comm, nullptr, 1), RHZ_ERR_ARGUMENT, {"needs a name"});
  expect_refused(rhz_coordinator_start(nullptr, nullptr), RHZ_ERR_ARGUMENT, {"out is NULL"});
  EXPECT_EQ(rhz_op_release(nullptr), RHZ_OK);
  rhz_comm_close(nullptr);
  rhz_coordinator_stop(nullptr);
  expect_sum({comm});
}

TEST(BadCall, ForTheOrderOfStagesThatHaveNoneSaysWhichNumbersDo) {
  uint32_t order[4] = {9, 9, 9, 9};
  for (const uint32_t stages : {0u, 3u})
    expect_refused(rhz_stage_order(1, stages, order), RHZ_ERR_ARGUMENT, {"take 1, 2, 4 or more"});
  EXPECT_EQ(order[0], 9u);
  ASSERT_EQ(rhz_stage_order(1, 4, order), RHZ_OK);
  EXPECT_EQ((std::vector<uint32_t>(order, order + 4)), (std::vector<uint32_t>{1, 0, 3, 2}));
  ASSERT_EQ(rhz_stage_order(2, 4, order), RHZ_OK);
  EXPECT_EQ((std::vector<uint32_t>(order, order + 4)), (std::vector<uint32_t>{0, 1, 2, 3}));
}

TEST(BadCall, WithoutAStructSizeSaysSo) {
  LocalRun run(1);
  rhz_comm* comm = run.found()[0];
  rhz_comm* none = nullptr;
  rhz_op* op = nullptr;
  rhz_coordinator* coordinator = nullptr;
  const rhz_comm_params params{};
  const rhz_allreduce_params reduce{};
  const rhz_tensor tensor{};
  const rhz_coordinator_params served{};
  rhz_view view{};
  expect_refused(rhz_comm_create(&params, &none), RHZ_ERR_ABI, {"sizeof(rhz_comm_params)"});
  expect_refused(rhz_allreduce(comm, &reduce, &op), RHZ_ERR_ABI, {"sizeof(rhz_allreduce_params)"});
  expect_refused(rhz_state_register(comm, &tensor), RHZ_ERR_ABI, {"sizeof(rhz_tensor)"});
  expect_refused(rhz_coordinator_start(&served, &coordinator), RHZ_ERR_ABI,
                 {"sizeof(rhz_coordinator_params)"});
  expect_refused(rhz_comm_view(comm, &view), RHZ_ERR_ABI, {"sizeof(rhz_view)"});
  EXPECT_EQ(op, nullptr);
}

TEST(BadCall, WithAFieldFromTheFutureIsRefusedUnlessItIsZero) {
  LocalRun run(1);
  rhz_comm* comm = run.found()[0];
  float value = 2;
  Newer<rhz_allreduce_params> params;
  params.known.recv = &value;
  params.known.count_elems = 1;
  params.known.dtype = RHZ_DTYPE_F32;
  rhz_op* op = nullptr;
  params.unknown = 1;
  expect_refused(rhz_allreduce(comm, params.get(), &op), RHZ_ERR_ABI, {"use a newer librhizome"});
  params.unknown = 0;
  ASSERT_EQ(rhz_allreduce(comm, params.get(), &op), RHZ_OK) << rhz_last_error();
  EXPECT_EQ(outcome(op), RHZ_OK);
  Newer<rhz_view> view;
  view.unknown = 77;  // the library clears what it does not know
  ASSERT_EQ(rhz_comm_view(comm, view.get()), RHZ_OK) << rhz_last_error();
  EXPECT_EQ(view.known.world_size, 1u);
  EXPECT_EQ(view.unknown, 0u);
}

TEST(BadCall, WithAnUnknownNumberSaysWhichNamesThereAre) {
  LocalRun run(1);
  rhz_comm* comm = run.found()[0];
  float value = 1;
  rhz_op* op = nullptr;
  auto with = [&](auto&& change) {
    auto params = floats(&value, &value, 1);
    change(params);
    return rhz_allreduce(comm, &params, &op);
  };
  expect_refused(with([](auto& p) { p.dtype = 0; }), RHZ_ERR_ARGUMENT, {"dtype 0", "RHZ_DTYPE_*"});
  expect_refused(with([](auto& p) { p.dtype = 99; }), RHZ_ERR_ARGUMENT, {"dtype 99"});
  expect_refused(with([](auto& p) { p.redop = 9; }), RHZ_ERR_ARGUMENT, {"redop 9", "RHZ_REDOP_*"});
  expect_refused(with([](auto& p) { p.rebuild = 7; }), RHZ_ERR_ARGUMENT, {"rebuild 7"});
  expect_refused(with([](auto& p) { p.redop = RHZ_REDOP_BXOR; }), RHZ_ERR_ARGUMENT,
                 {"bitwise", "f32"});
  ASSERT_EQ(with([](auto&) {}), RHZ_OK);
  expect_refused(rhz_op_wait(op, 0, 64), RHZ_ERR_ARGUMENT, {"RHZ_WAIT_*"});
  EXPECT_EQ(outcome(op), RHZ_OK);
}

TEST(BadCall, WithACountOfZeroIsFineAndAHugeOneIsNot) {
  LocalRun run(2);
  const auto comms = run.found();
  std::vector<rhz_op*> ops(2);
  for (int i = 0; i < 2; ++i) {
    const auto params = floats(nullptr, nullptr, 0);
    ASSERT_EQ(rhz_allreduce(comms[i], &params, &ops[i]), RHZ_OK) << rhz_last_error();
  }
  for (rhz_op* op : ops) EXPECT_EQ(outcome(op), RHZ_OK);
  float value = 0;
  rhz_op* op = nullptr;
  auto params = floats(&value, &value, (uint64_t{1} << 40) + 1);
  expect_refused(rhz_allreduce(comms[0], &params, &op), RHZ_ERR_ARGUMENT, {"limit of 2^40"});
  params.count_elems = UINT64_MAX;
  expect_refused(rhz_allreduce(comms[0], &params, &op), RHZ_ERR_ARGUMENT, {"limit of 2^40"});
  params = floats(&value, nullptr, 4);
  expect_refused(rhz_allreduce(comms[0], &params, &op), RHZ_ERR_ARGUMENT, {"recv is NULL"});
  params = floats(nullptr, reinterpret_cast<void*>(UINTPTR_MAX - 100), 1000);
  expect_refused(rhz_allreduce(comms[0], &params, &op), RHZ_ERR_ARGUMENT, {"address space"});
  expect_sum(comms);
}

TEST(BadCall, WithOverlappingBuffersSaysHowTheyMayLie) {
  LocalRun run(1);
  rhz_comm* comm = run.found()[0];
  std::vector<float> values(100, 1.0f);
  rhz_op* op = nullptr;
  auto params = floats(values.data(), values.data() + 1, 50);
  expect_refused(rhz_allreduce(comm, &params, &op), RHZ_ERR_OVERLAP, {"equal", "disjoint"});
  params = floats(values.data() + 49, values.data(), 50);
  expect_refused(rhz_allreduce(comm, &params, &op), RHZ_ERR_OVERLAP, {"send NULL"});
  params = floats(values.data(), values.data() + 50, 50);
  ASSERT_EQ(rhz_allreduce(comm, &params, &op), RHZ_OK) << rhz_last_error();
  EXPECT_EQ(outcome(op), RHZ_OK);
}

TEST(BadCall, BeforeTheJoinAndAfterTheCloseIsAStateError) {
  LocalRun run(1);
  rhz_comm* comm = run.create();
  float value = 0;
  rhz_op* op = nullptr;
  auto view = sized<rhz_view>();
  const auto params = floats(&value, &value, 1);
  expect_refused(rhz_allreduce(comm, &params, &op), RHZ_ERR_STATE, {"rhz_comm_join first"});
  expect_refused(rhz_barrier(comm, &op), RHZ_ERR_STATE, {"rhz_comm_join first"});
  expect_refused(rhz_comm_view(comm, &view), RHZ_ERR_STATE, {"rhz_comm_join"});
  expect_refused(rhz_comm_leave(comm, 0), RHZ_ERR_STATE, {"not a member"});
  run.close(comm);
  expect_refused(rhz_allreduce(comm, &params, &op), RHZ_ERR_STATE, {"was closed"});
  expect_refused(rhz_comm_join(comm, 1), RHZ_ERR_STATE, {"was closed"});
  expect_refused(rhz_comm_view(comm, &view), RHZ_ERR_STATE, {"create and join another one"});
  rhz_comm_close(comm);  // twice: nothing to do
}

TEST(BadCall, ReleaseOfAPendingOpLeavesItOpen) {
  LocalRun run(2);
  const auto comms = run.found();
  rhz_op *first = nullptr, *second = nullptr;
  ASSERT_EQ(rhz_barrier(comms[0], &first), RHZ_OK);
  EXPECT_EQ(rhz_op_poll(first), RHZ_PENDING);
  expect_refused(rhz_op_release(first), RHZ_ERR_STATE, {"still pending", "rhz_op_wait", "cancel"});
  uint32_t slots = 0;
  expect_refused(rhz_op_contributors(first, 0, nullptr, &slots), RHZ_ERR_STATE, {"RHZ_OK"});
  ASSERT_EQ(rhz_barrier(comms[1], &second), RHZ_OK);
  EXPECT_EQ(outcome(first), RHZ_OK);
  EXPECT_EQ(outcome(second), RHZ_OK);
}

TEST(BadCall, CloseEndsAPendingOpWhoseHandleStaysValid) {
  LocalRun run(2);
  const auto comms = run.found();
  rhz_op* op = nullptr;
  ASSERT_EQ(rhz_barrier(comms[0], &op), RHZ_OK);
  run.close(comms[0]);
  std::string text;
  EXPECT_EQ(outcome(op, &text), RHZ_ERR_CLOSED);
  EXPECT_NE(text.find("closed"), std::string::npos) << text;
}

TEST(BadCall, ForContributorsThatThereAreNotSaysWhy) {
  LocalRun run(2);
  const auto comms = run.found();
  std::vector<float> values(200'000, 1.0f);
  std::vector<float> sums[2] = {std::vector<float>(values.size()),
                                std::vector<float>(values.size())};
  rhz_op* ops[2];
  for (int i = 0; i < 2; ++i) {
    const auto params = floats(values.data(), sums[i].data(), values.size());
    ASSERT_EQ(rhz_allreduce(comms[i], &params, &ops[i]), RHZ_OK);
  }
  for (rhz_op* op : ops) ASSERT_EQ(rhz_op_wait(op, kPatienceMs, 0), RHZ_OK);
  uint32_t slots[2], count = 1;
  expect_refused(rhz_op_contributors(ops[0], 0, slots, &count), RHZ_ERR_ARGUMENT, {"too small"});
  EXPECT_EQ(count, 2u);
  EXPECT_EQ(rhz_op_contributors(ops[0], values.size() - 1, slots, &count), RHZ_OK);
  expect_refused(rhz_op_contributors(ops[0], values.size(), slots, &count), RHZ_ERR_ARGUMENT,
                 {"past the end"});
  for (rhz_op* op : ops) EXPECT_EQ(rhz_op_release(op), RHZ_OK);
}

TEST(BadState, IsNamedByItsTensor) {
  LocalRun run(1);
  rhz_comm* comm = run.create();
  uint64_t data[4] = {};
  auto tensor = [&](const char* name, void* bytes, uint64_t count, uint32_t dtype) {
    auto t = sized<rhz_tensor>();
    t.name = name;
    t.data = bytes;
    t.count_elems = count;
    t.dtype = dtype;
    return rhz_state_register(comm, &t);
  };
  const std::string long_name(200, 'n');
  expect_refused(tensor(nullptr, data, 4, RHZ_DTYPE_U64), RHZ_ERR_ARGUMENT, {"name is NULL"});
  expect_refused(tensor("a", data, 0, RHZ_DTYPE_U64), RHZ_ERR_ARGUMENT, {"\"a\""});
  expect_refused(tensor("a", nullptr, 4, RHZ_DTYPE_U64), RHZ_ERR_ARGUMENT, {"\"a\""});
  expect_refused(tensor("a", data, 4, 77), RHZ_ERR_ARGUMENT, {"dtype 77"});
  expect_refused(tensor(long_name.c_str(), data, 4, RHZ_DTYPE_U64), RHZ_ERR_ARGUMENT, {"127"});
  ASSERT_EQ(tensor("a", data, 4, RHZ_DTYPE_U64), RHZ_OK) << rhz_last_error();
  expect_refused(tensor("a", data, 4, RHZ_DTYPE_U64), RHZ_ERR_ARGUMENT, {"\"a\""});
  ASSERT_EQ(rhz_comm_join(comm, kPatienceMs), RHZ_OK) << rhz_last_error();
  expect_refused(tensor("b", data, 4, RHZ_DTYPE_U64), RHZ_ERR_STATE, {"before"});
  EXPECT_EQ(rhz_state_commit(comm, 5), RHZ_OK);
  expect_refused(rhz_state_commit(comm, 5), RHZ_ERR_ARGUMENT, {"revision 5"});
  expect_refused(rhz_state_commit(comm, 7), RHZ_ERR_ARGUMENT, {"revision 7"});
  EXPECT_EQ(rhz_state_commit(comm, 6), RHZ_OK);
}

TEST(BadCall, ThatPublishesTooMuchSaysTheLimit) {
  LocalRun run(1);
  rhz_comm* comm = run.found()[0];
  expect_refused(rhz_comm_publish(comm, "a_name_of_twenty_four_by", 1), RHZ_ERR_ARGUMENT,
                 {"23 bytes"});
  for (const char* name : {"n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7"})
    EXPECT_EQ(rhz_comm_publish(comm, name, 1), RHZ_OK);
  expect_refused(rhz_comm_publish(comm, "ninth", 9), RHZ_ERR_ARGUMENT, {"8 other names"});
  EXPECT_EQ(rhz_comm_publish(comm, "n7", 8), RHZ_OK);
}

}  // namespace
}  // namespace rhz::test
