// What is explored again and again.
#pragma once

#include <vector>

#include "tests/explore/options.h"

namespace rhz::explore {

std::vector<Options> fast_suite();  // no fault, and one: seconds
std::vector<Options> deep_suite();  // two: minutes

}  // namespace rhz::explore
