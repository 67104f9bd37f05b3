// What ranks put into an all-reduce, so that the result tells whose inputs are in it.
//
// Slot s contributes 2^s · p(op, i) for element i, with p from 1 to 61: a sum over any set of slots
// below 8 is exact in f32 and differs from that over any other set, and so do the means over sets
// of slots below 4.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "rhizome/rhizome.h"

namespace rhz::test {

void fill_input(std::span<float> input, uint64_t op, uint32_t slot);

struct Verdict {
  uint64_t wrong = 0;        // elements that are not the reduction over their contributors
  uint64_t first_wrong = 0;  // the first of them
  std::string contributors;  // the sets in the order of the elements: "0,1,2,3|0,1,3"; "-": nobody
  std::string empty;         // blocks of the result with elements of nobody: "0,2"
  std::string problem;       // the library would not name the contributors
};
// Calls `check` for elements [begin, end) in stretches of one set of contributors each, and notes
// the sets.
using CheckStretch =
    std::function<void(uint64_t begin, uint64_t end, const std::vector<uint32_t>& slots)>;
void for_each_stretch(rhz_op* op, uint64_t begin, uint64_t end, Verdict& verdict,
                      const CheckStretch& check);
// From 1 to 61.
constexpr uint64_t pattern(uint64_t op, uint64_t i) {
  return ((i * 2654435761u + op * 40503u) >> 7) % 61 + 1;
}
// Every element against the contributors that the library names for it.
Verdict check_result(rhz_op* op, std::span<const float> result, uint64_t id, bool average);
// Words that are not what fill_input() wrote.
uint64_t count_changed(std::span<const float> input, uint64_t op, uint32_t slot);
uint64_t digest_of(std::span<const float> values);

// The registered state of a revision.
void fill_state(std::span<uint64_t> state, uint64_t revision);
bool state_is(std::span<const uint64_t> state, uint64_t revision);

}  // namespace rhz::test
