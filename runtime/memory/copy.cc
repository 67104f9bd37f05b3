#include "runtime/memory/copy.h"

#include <algorithm>
#include <cstdint>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace rhz {

#if defined(__x86_64__)
namespace {
constexpr size_t kLineBytes = 64;
}  // namespace

void copy_past_caches(void* to, const void* from, size_t size) {
  auto* out = static_cast<std::byte*>(to);
  const auto* in = static_cast<const std::byte*>(from);
  const size_t unaligned = -reinterpret_cast<uintptr_t>(out) % kLineBytes;
  const size_t head = std::min(size, unaligned);
  std::memcpy(out, in, head);
  out += head, in += head, size -= head;
  for (; size >= kLineBytes; out += kLineBytes, in += kLineBytes, size -= kLineBytes) {
    auto* line = reinterpret_cast<__m128i*>(out);
    const auto* read = reinterpret_cast<const __m128i*>(in);
    const __m128i a = _mm_loadu_si128(read), b = _mm_loadu_si128(read + 1), c = _mm_loadu_si128(read + 2),
                  d = _mm_loadu_si128(read + 3);
    _mm_stream_si128(line, a);
    _mm_stream_si128(line + 1, b);
    _mm_stream_si128(line + 2, c);
    _mm_stream_si128(line + 3, d);
  }
  std::memcpy(out, in, size);
  _mm_sfence();  // such stores are in no order with those that tell others of them
}
#else
void copy_past_caches(void* to, const void* from, size_t size) { std::memcpy(to, from, size); }
#endif

}  // namespace rhz
