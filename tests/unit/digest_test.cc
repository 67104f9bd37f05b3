// The persisted digest format.  The known answers were computed with the packaged libxxhash 0.8.1 (runtime dispatch), apart from
// the code under test; those of "" and "abc" are also the published ones.
#include "runtime/digest/digest.h"

#include <gtest/gtest.h>

#include <vector>

#include "runtime/digest/hash_kernels.h"

namespace rhz {
namespace {

std::vector<std::byte> pattern(size_t size) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i)
    bytes[i] = static_cast<std::byte>((static_cast<uint32_t>(i) * 2654435761u) >> 24);
  return bytes;
}

struct Known {
  size_t size;
  const char* hex;
};

TEST(Digest, OfNothingIsThePublishedOne) {
  EXPECT_EQ(to_hex(digest128({})), "99aa06d3014798d86001c324468d497f");
}

TEST(Digest, OfAbcIsThePublishedOne) {
  EXPECT_EQ(to_hex(digest128(bytes_of("abc", 3))), "06b05ab6733a618578af5f94892f3950");
  EXPECT_EQ(digest_from_hex("06b05ab6733a618578af5f94892f3950"), digest128(bytes_of("abc", 3)));
  for (const char* text : {"", "06", "06b05ab6733a618578af5f94892f395g", "06B05AB6733A618578AF5F94892F3950"})
    EXPECT_FALSE(digest_from_hex(text)) << text;
}

// One length for every path of the algorithm: 1–3, 4–8, 9–16, 17–128, 129–240, long, several stripes.
TEST(Digest, OfEveryLengthClassIsTheKnownOne) {
  const Known known[] = {
      {1, "a6cd5e9392000f6ac44bdff4074eecdb"},    {3, "977fcbc0448b49f6e14090f554a5ea90"},
      {9, "200d098a7113e15fee5940d4df4715ae"},    {16, "78e8ab538d3acaab37286a19cf622308"},
      {17, "1ea709ada2b9c32e33bed349ec1c0ce7"},   {128, "5ac741c59c95d36ae1f0636051ccd2be"},
      {129, "1240f4d960139642cfb3fed667226458"},  {240, "640a6149838a7599b2e6947c477a4ab0"},
      {241, "e817e20e53e42a8c2d431e984c441f15"},  {1024, "df4c8b9ff9715101e99def1145f12936"},
      {1 << 20, "7e34237c007b503ea60868b9a5018405"}};
  const auto bytes = pattern(size_t{1} << 20);
  for (const Known& k : known)
    EXPECT_EQ(to_hex(digest128(ConstBytes(bytes).first(k.size))), k.hex) << k.size << " bytes";
}

TEST(Digest, IsTheSameByEveryInstructionSet) {
  const HashKernels* usable[kMostHashes];
  const size_t count = usable_hashes(usable);
  for (size_t size = 0; size < 5000; size += 1 + size / 9) {
    const std::vector<std::byte> bytes = pattern(size);
    for (size_t i = 0; i < count; ++i) {
      Digest digest;
      usable[i]->hash128(bytes.data(), size, digest.data());
      EXPECT_EQ(digest, digest128(bytes)) << size << " " << i;
      EXPECT_EQ(usable[i]->hash64(bytes.data(), size), digest64(bytes)) << size << " " << i;
    }
  }
}

TEST(Digest, OfATensorIsTheDigestOfItsBlockDigests) {
  const Known known[] = {{0, "99aa06d3014798d86001c324468d497f"},
                         {1, "de68429b8afe28ce97cda390d38d6d2b"},
                         {262144, "3b8ff87781976e8f423d7edd016ada1c"},
                         {262145, "9e68a38834c553ac8f5215a523866c0f"},
                         {600000, "43053aea26a90bddd7758e6888fd2a5a"}};
  const auto bytes = pattern(600000);
  for (const Known& k : known) {
    const auto tensor = ConstBytes(bytes).first(k.size);
    EXPECT_EQ(to_hex(tensor_digest(tensor)), k.hex) << k.size << " bytes";
    std::vector<Digest> blocks;
    for (uint64_t i = 0; i < digest_blocks(k.size); ++i)
      blocks.push_back(digest128(digest_block(tensor, i)));
    EXPECT_EQ(digest_of(blocks), tensor_digest(tensor)) << k.size << " bytes";
  }
}

TEST(Digest, CountsBlocksRoundedUp) {
  EXPECT_EQ(digest_blocks(0), 0u);
  EXPECT_EQ(digest_blocks(1), 1u);
  EXPECT_EQ(digest_blocks(kDigestBlockBytes), 1u);
  EXPECT_EQ(digest_blocks(kDigestBlockBytes + 1), 2u);
  EXPECT_EQ(digest_blocks(~uint64_t{0}), (uint64_t{1} << 46));
}

TEST(Digest, DependsOnEveryByte) {
  auto bytes = pattern(kDigestBlockBytes + 77);
  const Digest before = tensor_digest(bytes);
  for (const size_t at : {size_t{0}, kDigestBlockBytes - 1, kDigestBlockBytes, bytes.size() - 1}) {
    bytes[at] ^= std::byte{1};
    EXPECT_NE(tensor_digest(bytes), before) << "byte " << at;
    bytes[at] ^= std::byte{1};
  }
  EXPECT_EQ(tensor_digest(bytes), before);
}

TEST(Digest, DoesNotDependOnAlignment) {
  const auto bytes = pattern(5000);
  for (size_t shift = 1; shift < 64; shift += 7) {
    std::vector<std::byte> moved(bytes.size() + shift);
    std::copy(bytes.begin(), bytes.end(), moved.begin() + static_cast<long>(shift));
    EXPECT_EQ(digest128(ConstBytes(moved).subspan(shift)), digest128(bytes)) << shift;
  }
}

}  // namespace
}  // namespace rhz
