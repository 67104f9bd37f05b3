// Calls of rhizome_state.h that make no sense, or come at the wrong time.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/integration/local_run.h"

namespace rhz::test {
namespace {

rhz_tensor named(const char* name, void* data, uint64_t count = 8) {
  auto tensor = sized<rhz_tensor>();
  tensor.name = name;
  tensor.data = data;
  tensor.count_elems = count;
  tensor.dtype = RHZ_DTYPE_F32;
  return tensor;
}

struct BadStateCalls : testing::Test {
  LocalRun run{1};
  float values[8] = {};
  rhz_comm* joined() {
    rhz_comm* const comm = run.create(1);
    const auto tensor = named("w", values);
    EXPECT_EQ(rhz_state_register(comm, &tensor), RHZ_OK);
    EXPECT_EQ(rhz_comm_join(comm, kPatienceMs), RHZ_OK) << rhz_last_error();
    return comm;
  }
  // Of these tensors.
  rhz_status attach(rhz_comm* comm, std::vector<rhz_tensor> tensors, uint32_t flags = 0) {
    auto params = sized<rhz_attach_params>();
    params.tensors = tensors.data();
    params.tensor_count = static_cast<uint32_t>(tensors.size());
    params.flags = flags;
    return rhz_state_attach(comm, &params, nullptr);
  }
};

TEST_F(BadStateCalls, UpdatesAreMarkedInPairs) {
  rhz_comm* const comm = joined();
  expect_refused(rhz_state_end_update(comm), RHZ_ERR_STATE, {"no update is open"});
  EXPECT_EQ(rhz_state_begin_update(comm), RHZ_OK);
  expect_refused(rhz_state_begin_update(comm), RHZ_ERR_STATE, {"open already"});
  expect_refused(rhz_state_commit(comm, 1), RHZ_ERR_STATE, {"rhz_state_end_update"});
  expect_refused(rhz_snapshot(comm, nullptr), RHZ_ERR_STATE, {"an update is open"});
  EXPECT_EQ(rhz_state_end_update(comm), RHZ_OK);
  EXPECT_EQ(rhz_state_commit(comm, 1), RHZ_OK);
  expect_refused(rhz_state_begin_update(nullptr), RHZ_ERR_ARGUMENT, {"NULL"});
  run.close(comm);
  expect_refused(rhz_state_begin_update(comm), RHZ_ERR_STATE, {"was closed"});
}

TEST_F(BadStateCalls, AttachSaysWhatIsWrongWithItsTensors) {
  rhz_comm* const comm = run.create(1);
  expect_refused(rhz_state_attach(comm, nullptr, nullptr), RHZ_ERR_ARGUMENT,
                 {"rhz_attach_params is NULL"});
  expect_refused(attach(comm, {}), RHZ_ERR_ARGUMENT, {"names no tensor"});
  expect_refused(attach(comm, {named("w", nullptr)}, 2), RHZ_ERR_ARGUMENT, {"unknown flags"});
  expect_refused(attach(comm, {named("w", nullptr), named("w", nullptr)}), RHZ_ERR_ARGUMENT,
                 {"\"w\" is named twice"});
  expect_refused(attach(comm, {named(nullptr, nullptr)}), RHZ_ERR_ARGUMENT, {"name is NULL"});
  auto other = named("v", nullptr);
  other.struct_size += 8;
  expect_refused(attach(comm, {named("w", nullptr), other}), RHZ_ERR_ABI, {"same struct_size"});
  other = named("v", nullptr);
  other.dtype = 99;
  expect_refused(attach(comm, {other}), RHZ_ERR_ARGUMENT, {"dtype 99"});
  expect_refused(attach(comm, {named("w", nullptr, 0)}), RHZ_ERR_STATE_LOST,
                 {"RHZ_VAULT is not set", "next source: "});
  expect_refused(attach(run.create(), {named("w", nullptr)}), RHZ_ERR_STATE,
                 {"whose state?", "RHZ_SLOT"});
}

TEST_F(BadStateCalls, SnapshotsNeedARevisionAndAPartThatThereIs) {
  rhz_comm* const early = run.create(1);
  expect_refused(rhz_snapshot(early, nullptr), RHZ_ERR_STATE, {"rhz_comm_join"});
  run.close(early);
  rhz_comm* const comm = joined();
  expect_refused(rhz_snapshot(comm, nullptr), RHZ_ERR_STATE, {"no revision is committed"});
  EXPECT_EQ(rhz_snapshot_fence(comm, 1), RHZ_OK) << "there is none to wait for";
  ASSERT_EQ(rhz_state_commit(comm, 1), RHZ_OK);
  auto params = sized<rhz_snapshot_params>();
  params.part = params.parts = 2;
  expect_refused(rhz_snapshot(comm, &params), RHZ_ERR_ARGUMENT, {"part 2 of 2"});
  params = sized<rhz_snapshot_params>();
  params.revision = 2;
  expect_refused(rhz_snapshot(comm, &params), RHZ_ERR_ARGUMENT, {"hold revision 1, not 2"});
  params = sized<rhz_snapshot_params>();
  params.flags = 2;
  expect_refused(rhz_snapshot(comm, &params), RHZ_ERR_ARGUMENT, {"unknown flags"});
  params.struct_size = 0;
  expect_refused(rhz_snapshot(comm, &params), RHZ_ERR_ABI, {"struct_size"});
}

TEST_F(BadStateCalls, RestoreSaysWhatIsNotThere) {
  rhz_comm* const early = run.create(1);
  expect_refused(rhz_restore(early, nullptr, nullptr), RHZ_ERR_STATE, {"no tensor is registered"});
  run.close(early);
  rhz_comm* const comm = joined();
  ASSERT_EQ(rhz_state_commit(comm, 1), RHZ_OK);
  expect_refused(rhz_restore(comm, nullptr, nullptr), RHZ_ERR_STATE_LOST,
                 {"no snapshot of slot 0", "next source: "});
  ASSERT_EQ(rhz_snapshot(comm, nullptr), RHZ_OK);
  ASSERT_EQ(rhz_snapshot_fence(comm, 0), RHZ_OK);
  auto params = sized<rhz_restore_params>();
  params.revision = 7;
  expect_refused(rhz_restore(comm, &params, nullptr), RHZ_ERR_STATE_LOST,
                 {"of revision 7, only of 1"});
  params = sized<rhz_restore_params>();
  params.reserved = 1;
  expect_refused(rhz_restore(comm, &params, nullptr), RHZ_ERR_ARGUMENT, {"reserved"});
}

TEST_F(BadStateCalls, AHeldSnapshotCountsWhenItIsSealed) {
  rhz_comm* const comm = joined();
  values[3] = 1;
  ASSERT_EQ(rhz_state_commit(comm, 1), RHZ_OK);
  auto params = sized<rhz_snapshot_params>();
  params.flags = RHZ_SNAPSHOT_HOLD;
  ASSERT_EQ(rhz_snapshot(comm, &params), RHZ_OK);
  ASSERT_EQ(rhz_snapshot_fence(comm, 0), RHZ_OK);
  expect_refused(rhz_restore(comm, nullptr, nullptr), RHZ_ERR_STATE_LOST, {"no snapshot"});
  expect_refused(rhz_snapshot_seal(comm, 2), RHZ_ERR_ARGUMENT,
                 {"no snapshot of revision 2 of slot 0 is open"});
  ASSERT_EQ(rhz_snapshot_seal(comm, 1), RHZ_OK) << rhz_last_error();
  values[3] = 2;
  auto info = sized<rhz_restore_info>();
  ASSERT_EQ(rhz_restore(comm, nullptr, &info), RHZ_OK) << rhz_last_error();
  EXPECT_EQ(values[3], 1);
  EXPECT_EQ(info.revision, 1u);
  EXPECT_EQ(info.parts, 1u);
}

TEST_F(BadStateCalls, ChangesDuringASnapshotAreFoundOut) {
  rhz_comm* const comm = run.create(1);
  std::vector<float> large(32u << 20);
  const auto tensor = named("w", large.data(), large.size());
  ASSERT_EQ(rhz_state_register(comm, &tensor), RHZ_OK);
  ASSERT_EQ(rhz_comm_join(comm, kPatienceMs), RHZ_OK);
  ASSERT_EQ(rhz_state_commit(comm, 1), RHZ_OK);
  ASSERT_EQ(rhz_snapshot(comm, nullptr), RHZ_OK);
  expect_refused(rhz_state_begin_update(comm), RHZ_ERR_STATE, {"rhz_snapshot_fence"});
  expect_refused(rhz_snapshot(comm, nullptr), RHZ_ERR_STATE, {"rhz_snapshot_fence"});
  expect_refused(rhz_restore(comm, nullptr, nullptr), RHZ_ERR_STATE, {"rhz_snapshot_fence"});
  EXPECT_EQ(rhz_snapshot_fence(comm, 0), RHZ_OK);
  EXPECT_EQ(rhz_state_begin_update(comm), RHZ_OK);
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<float>(i % 1000);
  EXPECT_EQ(rhz_state_end_update(comm), RHZ_OK);
  ASSERT_EQ(rhz_state_commit(comm, 2), RHZ_OK);
  ASSERT_EQ(rhz_snapshot(comm, nullptr), RHZ_OK);
  ASSERT_EQ(rhz_snapshot_fence(comm, 0), RHZ_OK);
  const std::vector<float> before = large;
  std::fill(large.begin(), large.end(), -1.0f);
  ASSERT_EQ(rhz_restore(comm, nullptr, nullptr), RHZ_OK);
  EXPECT_EQ(large, before) << "by several threads";
}

TEST_F(BadStateCalls, AVaultThatIsNotThereIsSaidAndDoesNotStopTheJoin) {
  setenv("RHZ_VAULT", "rhizome-vault-nowhere", 1);
  rhz_comm* const comm = run.create(1);
  unsetenv("RHZ_VAULT");
  expect_refused(attach(comm, {named("w", nullptr)}), RHZ_ERR_UNREACHABLE,
                 {"rhizome-vault-nowhere", "next source: "});
  EXPECT_EQ(rhz_comm_join(comm, kPatienceMs), RHZ_OK);
}

}  // namespace
}  // namespace rhz::test
