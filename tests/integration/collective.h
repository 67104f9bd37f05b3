// One op of the seven other collectives, as a rank of a test takes part in it: its buffers, filled
// so that every element tells whose it is, and the check of what came of it.
//
// What is moved: slot s gives element e of its block b as a pattern of (s, b, e).  What is reduced:
// 2^s · p(b, e), so that a sum over any set of slots below 8 differs from that over any other one.
// The slots of the view are 0 … world-1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "rhizome/rhizome.h"
#include "tests/integration/blocks.h"
#include "tests/integration/process.h"
#include "tests/integration/values.h"

namespace rhz::test {

class Collective {
 public:
  // kind= dtype= redop= rebuild= root= world= count= in_place= id= timeout_ms=, all but the first
  // three as numbers or as in allreduce.  vary=1: blocks of up to count, each where one of count would begin.
  Collective(const Line& command, uint32_t slot);
  rhz_status submit(rhz_comm* comm, rhz_op** op) const;
  std::byte* first_input() { return input(0); }
  // Every element of the result against the contributors that the library names for it.
  Verdict check(rhz_op* op) const;
  // Elements that were only lent, or that nobody lent, and are not what they were.
  uint64_t changed() const;

 private:
  bool is_root() const { return slot_ == root_; }
  bool reduces() const { return kind_ == Exchange::kReduce || kind_ == Exchange::kReduceScatter; }
  uint32_t blocks_given() const { return test::blocks_given(kind_, is_root(), world_); }
  uint32_t blocks_got() const { return test::blocks_got(kind_, is_root(), world_); }
  // Elements of a block that this rank gives, or gets; ranks are slots in these tests.
  uint64_t given_count(uint32_t block) const;
  uint64_t got_count(uint32_t block) const;
  uint64_t varied(uint32_t from, uint32_t to) const;
  rhz_status submit_varying(rhz_comm* comm, rhz_op** op) const;
  uint64_t given(uint32_t slot, uint32_t block, uint64_t element) const;
  double expected(uint32_t block, uint64_t element, const std::vector<uint32_t>& slots) const;
  std::byte* input(uint32_t block);  // that this rank gives
  const std::byte* input(uint32_t block) const {
    return const_cast<Collective*>(this)->input(block);
  }
  const std::byte* result(uint32_t block) const;
  bool is_overwritten(uint32_t block) const;

  const Exchange kind_;
  const uint32_t slot_, root_, world_;
  const uint64_t id_, count_;
  const bool in_place_, vary_;
  uint64_t block_bytes_ = 0;
  rhz_collective_params params_{};
  std::vector<std::byte> send_, recv_;  // empty: NULL is passed; else with a few bytes behind
};

uint32_t rebuild_mode(const std::string& name);

}  // namespace rhz::test
