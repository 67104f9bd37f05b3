// What a sanitizer changes for the tests: memory is its own, and everything takes longer.
#pragma once

namespace rhz::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// A program that writes to a buffer that it has lent is a data race, and reported as one.
#if defined(__SANITIZE_THREAD__)
constexpr bool kFindsRaces = true;
#else
constexpr bool kFindsRaces = false;
#endif

}  // namespace rhz::test
