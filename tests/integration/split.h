// Splitting all communicators of a run that lives in the test's own process.
#pragma once

#include <vector>

#include "tests/integration/local_run.h"

namespace rhz::test {

struct Choice {
  int32_t colour = 0, key = 0;
};

// Of one rank; what became of it, and the text of it.
struct Part {
  rhz_comm* comm = nullptr;
  rhz_status status = RHZ_OK;
  std::string text;
};
// A thread for each of them, for the call blocks.
std::vector<Part> split(const std::vector<rhz_comm*>& comms, const std::vector<Choice>& choices);
// That must go well.
std::vector<rhz_comm*> expect_split(const std::vector<rhz_comm*>& comms,
                                    const std::vector<Choice>& choices);

rhz_view view_of(rhz_comm* comm);
rhz_op* begin_sum(rhz_comm* comm, float* value, uint64_t count = 1);
rhz_op* begin_barrier(rhz_comm* comm);

}  // namespace rhz::test
