#include "runtime/digest/digest.h"

#include <algorithm>
#include <vector>

#include "runtime/base/assert.h"
#include "runtime/digest/hash_kernels.h"

namespace rhz {
namespace {

const HashKernels& best_hash() {
  const HashKernels* usable[kMostHashes];
  (void)usable_hashes(usable);
  return *usable[0];
}

const HashKernels& hash() {
  static const HashKernels& best = best_hash();
  return best;
}

}  // namespace

size_t usable_hashes(const HashKernels* (&out)[kMostHashes]) {
  size_t count = 0;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) out[count++] = &kAvx2Hash;
#endif
  out[count++] = &kBaselineHash;
  return count;
}

Digest digest128(ConstBytes bytes) {
  Digest digest;
  static_assert(sizeof digest == 16);
  hash().hash128(bytes.data(), bytes.size(), digest.data());
  return digest;
}

uint64_t digest64(ConstBytes bytes) { return hash().hash64(bytes.data(), bytes.size()); }

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
