#include "runtime/digest/digest.h"

// Inlined and not linked, so that the persisted format hangs on the header alone.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <vector>

#include "runtime/base/assert.h"

namespace rhz {

Digest digest128(ConstBytes bytes) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  Digest digest;
  static_assert(sizeof canonical.digest == sizeof digest);
  std::memcpy(digest.data(), canonical.digest, sizeof canonical.digest);
  return digest;
}

uint64_t digest64(ConstBytes bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

Digest digest_of(std::span<const Digest> digests) { return digest128(std::as_bytes(digests)); }

ConstBytes digest_block(ConstBytes bytes, uint64_t index) {
  RHZ_ASSERT("the block is in the tensor", index < digest_blocks(bytes.size()));
  const size_t begin = index * kDigestBlockBytes;
  return bytes.subspan(begin, std::min(kDigestBlockBytes, bytes.size() - begin));
}

Digest tensor_digest(ConstBytes bytes) {
  std::vector<Digest> blocks(digest_blocks(bytes.size()));
  for (uint64_t i = 0; i < blocks.size(); ++i) blocks[i] = digest128(digest_block(bytes, i));
  return digest_of(blocks);
}

std::string to_hex(const Digest& digest) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * digest.size());
  for (const uint8_t byte : digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::optional<Digest> digest_from_hex(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  Digest digest{};
  if (text.size() != 2 * digest.size()) return std::nullopt;
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t value = kDigits.find(text[i]);
    if (value == std::string_view::npos) return std::nullopt;
    digest[i / 2] = static_cast<uint8_t>(digest[i / 2] << 4 | value);
  }
  return digest;
}

}  // namespace rhz
