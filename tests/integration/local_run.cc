#include "tests/integration/local_run.h"

#include <algorithm>

namespace rhz::test {
LocalRun::LocalRun(uint32_t world, uint32_t max_world) : world_(world) {
  auto params = sized<rhz_coordinator_params>();
  params.world = world;
  params.max_world = max_world;
  params.suspicion_ms = 1000 * kSlowness;
  EXPECT_EQ(rhz_coordinator_start(&params, &coordinator_), RHZ_OK) << rhz_last_error();
}

LocalRun::~LocalRun() {
  for (rhz_comm* comm : comms_) rhz_comm_close(comm);
  rhz_coordinator_stop(coordinator_);
}

rhz_comm* LocalRun::create(uint32_t slot_plus_one) {
  auto params = comm_params(address());
  params.slot_plus_one = slot_plus_one;
  rhz_comm* comm = nullptr;
  EXPECT_EQ(rhz_comm_create(&params, &comm), RHZ_OK) << rhz_last_error();
  comms_.push_back(comm);
  return comm;
}

std::vector<rhz_comm*> LocalRun::found() {
  std::vector<rhz_comm*> founders;
  for (uint32_t slot = 0; slot < world_; ++slot) founders.push_back(create(slot + 1));
  // All of them ask before the first one is waited for.
  for (rhz_comm* comm : founders) (void)!rhz_comm_join(comm, 1);
  for (rhz_comm* comm : founders)
    EXPECT_EQ(rhz_comm_join(comm, kPatienceMs), RHZ_OK) << rhz_last_error();
  return founders;
}

void LocalRun::close(rhz_comm* comm) {
  std::erase(comms_, comm);
  rhz_comm_close(comm);
}

rhz_comm_params comm_params(const char* coordinator) {
  auto params = sized<rhz_comm_params>();
  params.coordinator = coordinator;
  return params;
}

rhz_allreduce_params floats(const void* send, void* recv, uint64_t count) {
  auto params = sized<rhz_allreduce_params>();
  params.send = send;
  params.recv = recv;
  params.count_elems = count;
  params.dtype = RHZ_DTYPE_F32;
  return params;
}

rhz_status outcome(rhz_op* op, std::string* text) {
  const rhz_status status = rhz_op_wait(op, kPatienceMs, RHZ_WAIT_DEFAULT);
  auto info = sized<rhz_op_info>();
  EXPECT_EQ(rhz_op_info_get(op, &info), RHZ_OK);
  EXPECT_EQ(info.status, status);
  if (text) *text = info.text;
  EXPECT_EQ(rhz_op_release(op), RHZ_OK) << rhz_last_error();
  return status;
}

std::string same_end(rhz_op* const (&ops)[2], rhz_status status) {
  std::string texts[2];
  for (int rank : {0, 1}) EXPECT_EQ(outcome(ops[rank], &texts[rank]), status) << texts[rank];
  EXPECT_EQ(texts[0], texts[1]);
  return texts[0];
}

void expect_sum(const std::vector<rhz_comm*>& comms) {
  std::vector<float> ones(1000, 1.0f);
  std::vector<std::vector<float>> sums(comms.size(), std::vector<float>(1000));
  std::vector<rhz_op*> ops(comms.size());
  for (size_t i = 0; i < comms.size(); ++i) {
    const auto params = floats(ones.data(), sums[i].data(), 1000);
    ASSERT_EQ(rhz_allreduce(comms[i], &params, &ops[i]), RHZ_OK) << rhz_last_error();
  }
  for (rhz_op* op : ops) EXPECT_EQ(outcome(op), RHZ_OK);
  for (const auto& sum : sums) EXPECT_EQ(sum[999], static_cast<float>(comms.size()));
}

void expect_refused(rhz_status status, rhz_status expected, const std::vector<std::string>& words) {
  const std::string text = rhz_last_error();
  EXPECT_EQ(status, expected) << text;
  for (const std::string& word : words)
    EXPECT_NE(text.find(word), std::string::npos) << "\"" << word << "\" is not in: " << text;
}

}  // namespace rhz::test
