// A run inside the test's own process: for what a call says, rather than for who dies.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rhizome/rhizome.h"
#include "tests/integration/patience.h"

namespace rhz::test {

// Zeroed, with its struct_size.
template <class T>
T sized() {
  T value{};
  value.struct_size = sizeof(T);
  return value;
}

class LocalRun {
 public:
  explicit LocalRun(uint32_t world, uint32_t max_world = 0);
  ~LocalRun();
  const char* address() const { return rhz_coordinator_address(coordinator_); }
  // Created, not joined; closed with the run.
  rhz_comm* create(uint32_t slot_plus_one = RHZ_ANY_SLOT);
  // The world's communicators, by slot, joined.
  std::vector<rhz_comm*> found();
  void close(rhz_comm* comm);

 private:
  const uint32_t world_;
  rhz_coordinator* coordinator_ = nullptr;
  std::vector<rhz_comm*> comms_;
};

rhz_comm_params comm_params(const char* coordinator);
rhz_allreduce_params floats(const void* send, void* recv, uint64_t count);
// Of the op; releases it.
rhz_status outcome(rhz_op* op, std::string* text = nullptr);
// Of the ops of two ranks, which end alike: their text.  Releases them.
std::string same_end(rhz_op* const (&ops)[2], rhz_status status);
// An all-reduce of all of them that must go well.
void expect_sum(const std::vector<rhz_comm*>& comms);

// The status, and every one of `words` in rhz_last_error().
void expect_refused(rhz_status status, rhz_status expected, const std::vector<std::string>& words);

}  // namespace rhz::test
