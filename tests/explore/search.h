// Depth first over everything that may happen in a run, each state once.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "tests/explore/run.h"

namespace rhz::explore {

struct Found {
  uint64_t states = 0, steps = 0, ends = 0, deepest = 0;
  bool complete = true;          // neither the states nor the length of a way were cut
  std::string violation;         // empty: none
  std::vector<std::string> way;  // to it
  std::string there;             // how it looks there
  std::set<std::string> outcomes;
  std::string numbers;
};

Found search(const Options& options);
// The way that is being tried, for an assertion of the cores that ends the process.
void print_way();

}  // namespace rhz::explore
