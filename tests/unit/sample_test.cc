// Which bytes of a result are compared, and their digest: collectives/sample.h.
#include "collectives/sample.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace rhz {
namespace {

constexpr uint64_t kBytes = (uint64_t{1} << 20) + 4321;

Layout layout_of(uint64_t bytes) { return make_layout(bytes, 1, RunConfig{}); }

uint64_t digest_of(const Sample& sample, const Layout& layout, const std::vector<std::byte>& value) {
  uint64_t sum = 0;
  for (uint32_t c = layout.chunks; c-- > 0;) sum += sample.digest_of(c, value.data() + layout.chunk_offset(c));
  return sum;
}

// Numbers of the ops whose digest a flip of this byte changes.
std::set<uint64_t> ops_that_see(uint64_t byte, Verify verify, uint64_t bytes, uint64_t ops) {
  const Layout layout = layout_of(bytes);
  std::vector<std::byte> value(bytes);
  std::set<uint64_t> seen;
  for (uint64_t seq = 0; seq < ops; ++seq) {
    const Sample sample(verify, OpSeq(seq), layout);
    const uint64_t before = digest_of(sample, layout, value);
    value[byte] ^= std::byte{4};
    if (digest_of(sample, layout, value) != before) seen.insert(seq);
    value[byte] ^= std::byte{4};
  }
  return seen;
}

TEST(Sample, OfAllSeesEveryByteInEveryOp) {
  for (const uint64_t byte : {uint64_t{0}, uint64_t{4096}, kBytes / 2, kBytes - 1})
    EXPECT_EQ(ops_that_see(byte, Verify::kAll, kBytes, 3).size(), 3u) << byte;
}

TEST(Sample, SeesEveryByteNowAndThen) {
  for (const uint64_t byte : {uint64_t{0}, uint64_t{70000}, kBytes - 1}) {
    const size_t seen = ops_that_see(byte, Verify::kSampled, kBytes, 160).size();
    EXPECT_GE(seen, 3u) << byte;
    EXPECT_LE(seen, 25u) << byte;
  }
  EXPECT_GE(ops_that_see(10, Verify::kSampled, 64, 160).size(), 3u);
}

TEST(Sample, KnowsWhetherItTakesAnything) {
  uint32_t some = 0;
  for (uint64_t seq = 0; seq < 160; ++seq) {
    const Sample sample(Verify::kSampled, OpSeq(seq), layout_of(64));
    EXPECT_EQ(sample.any(), ops_that_see(3, Verify::kSampled, 64, seq + 1).contains(seq));
    some += sample.any();
    EXPECT_TRUE(Sample(Verify::kSampled, OpSeq(seq), layout_of(kBytes)).any());
  }
  EXPECT_LE(some, 25u);
  EXPECT_FALSE(Sample(Verify::kOff, OpSeq(7), layout_of(kBytes)).any());
  EXPECT_FALSE(Sample(Verify::kAll, OpSeq(7), layout_of(0)).any());
}

TEST(Sample, TellsPagesThatChangedPlaces) {
  const Layout layout = layout_of(kBytes);
  std::vector<std::byte> value(kBytes), other;
  value[0] = std::byte{1};
  other = value;
  std::swap(other[0], other[4096]);
  const Sample sample(Verify::kAll, OpSeq(0), layout);
  EXPECT_NE(digest_of(sample, layout, value), digest_of(sample, layout, other));
}

}  // namespace
}  // namespace rhz
