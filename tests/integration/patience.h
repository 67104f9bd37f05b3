// How long the tests wait.
#pragma once

#include "tests/sanitizer.h"

namespace rhz::test {

// What multiplies all patience, the suspicion time of a run among it: tests/CMakeLists.txt.
constexpr int kSlowness = RHZ_TEST_SLOWNESS;
// For whatever must happen: passed, it is a hang.
constexpr int kPatienceMs = 20'000 * kSlowness;

}  // namespace rhz::test
