#include "tests/integration/split.h"

#include <thread>

namespace rhz::test {

std::vector<Part> split(const std::vector<rhz_comm*>& comms, const std::vector<Choice>& choices) {
  std::vector<Part> parts(comms.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < comms.size(); ++i) {
    threads.emplace_back([&, i] {
      auto params = sized<rhz_split_params>();
      params.colour = choices[i].colour;
      params.key = choices[i].key;
      params.timeout_ms = kPatienceMs;
      parts[i].status = rhz_comm_split(comms[i], &params, &parts[i].comm);
      if (parts[i].status != RHZ_OK) parts[i].text = rhz_last_error();
    });
  }
  for (std::thread& thread : threads) thread.join();
  return parts;
}

std::vector<rhz_comm*> expect_split(const std::vector<rhz_comm*>& comms,
                                    const std::vector<Choice>& choices) {
  std::vector<rhz_comm*> made;
  for (const Part& part : split(comms, choices)) {
    EXPECT_EQ(part.status, RHZ_OK) << part.text;
    made.push_back(part.comm);
  }
  return made;
}

rhz_view view_of(rhz_comm* comm) {
  auto view = sized<rhz_view>();
  EXPECT_EQ(rhz_comm_view(comm, &view), RHZ_OK) << rhz_last_error();
  return view;
}

rhz_op* begin_sum(rhz_comm* comm, float* value, uint64_t count) {
  rhz_op* op = nullptr;
  const auto params = floats(nullptr, value, count);
  EXPECT_EQ(rhz_allreduce(comm, &params, &op), RHZ_OK) << rhz_last_error();
  return op;
}

rhz_op* begin_barrier(rhz_comm* comm) {
  rhz_op* op = nullptr;
  EXPECT_EQ(rhz_barrier(comm, &op), RHZ_OK) << rhz_last_error();
  return op;
}

}  // namespace rhz::test
