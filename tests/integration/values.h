// What ranks put into an all-reduce, so that the result tells whose inputs are in it.
//
// Slot s contributes 2^s · p(op, i) for element i, with p from 1 to 61: a sum over any set of slots
// below 8 is exact in f32 and differs from that over any other set, and so do the means over sets
// of slots below 4.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "rhizome/rhizome.h"

namespace rhz::test {

void fill_input(std::span<float> input, uint64_t op, uint32_t slot);

struct Verdict {
  uint64_t wrong = 0;        // elements that are not the reduction over their contributors
  uint64_t first_wrong = 0;  // the first of them
  std::string contributors;  // the distinct sets in the order of the elements: "0,1,2,3|0,1,3"
  std::string problem;       // the library would not name the contributors
};
// Every element against the contributors that the library names for it.
Verdict check_result(rhz_op* op, std::span<const float> result, uint64_t id, bool average);
// Words that are not what fill_input() wrote.
uint64_t count_changed(std::span<const float> input, uint64_t op, uint32_t slot);
uint64_t digest_of(std::span<const float> values);

// The registered state of a revision.
void fill_state(std::span<uint64_t> state, uint64_t revision);
bool state_is(std::span<const uint64_t> state, uint64_t revision);

}  // namespace rhz::test
