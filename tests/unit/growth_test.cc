// B1: what the cores remember does not grow with the number of ops, views and joins.  All that is allocated in this program is counted.
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdlib>
#include <new>

#include "runtime/wire/codec.h"
#include "tests/unit/memory_run.h"

namespace {
int64_t live_bytes = 0;

void* get(void* memory) {
  if (!memory) std::abort();
  live_bytes += static_cast<int64_t>(malloc_usable_size(memory));
  return memory;
}
void give_back(void* memory) {
  live_bytes -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}
}  // namespace

[[gnu::noinline]] void* operator new(std::size_t bytes) { return get(std::malloc(bytes ? bytes : 1)); }
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return get(std::malloc(bytes ? bytes : 1)); }
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t to) {
  return get(std::aligned_alloc(static_cast<std::size_t>(to), (bytes + static_cast<std::size_t>(to) - 1) / static_cast<std::size_t>(to) * static_cast<std::size_t>(to)));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { give_back(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { give_back(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { give_back(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { give_back(memory); }

namespace rhz {
namespace {

// One round of a program's life.
void live(MemoryRun& run, uint32_t round) {
  for (int i = 0; i < 4; ++i) run.all_reduce();
  if (round % 8 == 0) run.split_and_close();
}

void print(const char* what, int64_t before) {
  std::printf("%lld bytes, after %s %+lld\n", static_cast<long long>(before), what, static_cast<long long>(live_bytes - before));
}

constexpr int64_t kNoise = 4096;  // texts, buffers that are nearly full or nearly empty

// The ids of a thousand groups that are closed are kept.
TEST(Growth, IsNoneWithTheNumberOfOps) {
  MemoryRun run;
  for (uint32_t round = 0; round < 9000; ++round) live(run, round);
  const int64_t before = live_bytes;
  for (uint32_t round = 0; round < 9000; ++round) live(run, round);
  ASSERT_FALSE(run.hung);
  print("36 000 more ops", before);
  EXPECT_LT(live_bytes - before, kNoise);
}

// More views than the cores remember come before the first look.
TEST(Growth, IsNoneWithTheNumberOfViewsAndJoins) {
  MemoryRun run;
  uint32_t round = 0;
  const auto replace = [&](uint32_t rounds) {
    for (const uint32_t end = round + rounds; round < end && !run.hung; ++round) {
      live(run, round);
      run.replace(Slot(1 + round % 2), round % 3 != 0);
      if (round % 16 == 0) run.core.cut_log();
    }
  };
  replace(1600);
  ASSERT_FALSE(run.hung);
  const int64_t before = live_bytes;
  const size_t snapshot = wire::encode(*run.snapshot).size();
  replace(1600);
  ASSERT_FALSE(run.hung);
  print("1 600 more joins", before);
  EXPECT_LT(live_bytes - before, kNoise);
  EXPECT_EQ(wire::encode(*run.snapshot).size(), snapshot);
  // Forgotten, and refused nevertheless (V2).
  const auto answer = run.answer_to(2);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), Code::kEvicted);
}

}  // namespace
}  // namespace rhz
