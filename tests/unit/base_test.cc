// Base types: status numbers, CRC, PRNG, queue, options, pool.
#include <gtest/gtest.h>

#include <cstdlib>

#include "rhizome/rhizome.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/options.h"
#include "runtime/base/prng.h"
#include "runtime/base/status.h"
#include "runtime/memory/pool.h"

namespace rhz {
namespace {

TEST(Status, HasTheNumbersOfThePublicHeader) {
  const std::pair<Code, int> pairs[] = {
      {Code::kOk, RHZ_OK}, {Code::kPending, RHZ_PENDING}, {Code::kArgument, RHZ_ERR_ARGUMENT},
      {Code::kAbi, RHZ_ERR_ABI}, {Code::kState, RHZ_ERR_STATE}, {Code::kMismatch, RHZ_ERR_MISMATCH},
      {Code::kOverlap, RHZ_ERR_OVERLAP}, {Code::kMemory, RHZ_ERR_MEMORY}, {Code::kIo, RHZ_ERR_IO},
      {Code::kAddressInUse, RHZ_ERR_ADDRESS_IN_USE}, {Code::kUnreachable, RHZ_ERR_UNREACHABLE},
      {Code::kVersion, RHZ_ERR_VERSION}, {Code::kRunId, RHZ_ERR_RUN_ID},
      {Code::kWorldFull, RHZ_ERR_WORLD_FULL}, {Code::kCorrupt, RHZ_ERR_CORRUPT},
      {Code::kPeerLost, RHZ_ERR_PEER_LOST}, {Code::kTimeout, RHZ_ERR_TIMEOUT},
      {Code::kCancelled, RHZ_ERR_CANCELLED}, {Code::kWorldTooSmall, RHZ_ERR_WORLD_TOO_SMALL},
      {Code::kStateLost, RHZ_ERR_STATE_LOST}, {Code::kEvicted, RHZ_ERR_EVICTED}, {Code::kIsolated, RHZ_ERR_ISOLATED},
      {Code::kDiverged, RHZ_ERR_DIVERGED}, {Code::kClosed, RHZ_ERR_CLOSED},
      {Code::kInternal, RHZ_ERR_INTERNAL}};
  for (auto [code, number] : pairs) EXPECT_EQ(static_cast<int>(code), number);
}

TEST(Crc32c, GivesTheCheckValueOfTheStandard) {
  EXPECT_EQ(crc32c(bytes_of("123456789", 9)), 0xe3069283u);  // RFC 3720, B.4
  EXPECT_EQ(crc32c({}), 0u);
  EXPECT_EQ(crc32c(bytes_of("6789", 4), crc32c(bytes_of("12345", 5))), 0xe3069283u);
}

TEST(Prng, SplitsIntoIndependentStreams) {
  Prng a(1), b(1);
  Prng child = a.split(7);
  (void)child.next();
  (void)b.split(8);
  EXPECT_EQ(a.next(), b.next());
  for (int i = 0; i < 1000; ++i) EXPECT_LT(a.below(10), 10u);
}

TEST(Options, NamesTheVariableAndTheRangeOfABadNumber) {
  setenv("RHZ_BULK_LANES", "many", 1);
  const auto bad = environment_number("RHZ_BULK_LANES", 1, 1, 15);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.status().text(), "RHZ_BULK_LANES=many is not a number from 1 to 15");
  setenv("RHZ_BULK_LANES", "16", 1);
  EXPECT_FALSE(environment_number("RHZ_BULK_LANES", 1, 1, 15));
  setenv("RHZ_BULK_LANES", "3", 1);
  EXPECT_EQ(environment_number("RHZ_BULK_LANES", 1, 1, 15).value(), 3u);
  unsetenv("RHZ_BULK_LANES");
  EXPECT_EQ(environment_number("RHZ_BULK_LANES", 1, 1, 15).value(), 1u);
}

TEST(BufferPool, ReusesBlocksAndCountsReferences) {
  BufferPool pool(1 << 20);
  std::byte* data = nullptr;
  {
    Buffer a = pool.take(1000);
    data = a.data();
    Buffer b = a;
    EXPECT_TRUE(b.shared());
    EXPECT_EQ(pool.in_use_bytes(), 1024u);
  }
  EXPECT_EQ(pool.in_use_bytes(), 0u);
  EXPECT_EQ(pool.take(600).data(), data);
}

TEST(BufferPool, GivesBackWhatIsOverItsLimit) {
  BufferPool pool(1 << 10);
  { Buffer big = pool.take(1 << 16); }
  EXPECT_EQ(pool.idle_bytes(), 0u);
}

}  // namespace
}  // namespace rhz
