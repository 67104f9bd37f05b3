#include "collectives/sample.h"

#include <algorithm>

#include "runtime/base/prng.h"
#include "runtime/digest/digest.h"

namespace rhz {

Sample::Sample(Verify verify, OpSeq seq, const Layout& layout) : layout_(layout) {
  if (verify == Verify::kOff) return;
  const uint64_t chunk_bytes =
      std::min(layout.chunk_elements, layout.count) * layout.element_bytes;
  pages_of_chunk_ = (chunk_bytes + kPageBytes - 1) / kPageBytes;
  if (verify == Verify::kSampled) {
    every_ = kOneIn;
    // Mixed: a program whose steps have sixteen ops would have the same one looked at for ever.
    shift_ = mix64(seq.value) % kOneIn;
  }
  for (uint32_t c = 0; c < layout.chunks && !any_; ++c)
    any_ = first_page(c) * kPageBytes < layout.chunk_bytes(c);
}

// The first one within the chunk that is taken.
uint64_t Sample::first_page(uint32_t chunk) const {
  return (every_ - (chunk * pages_of_chunk_ + shift_) % every_) % every_;
}

uint64_t Sample::digest_of(uint32_t chunk, const std::byte* value) const {
  const uint64_t bytes = layout_.chunk_bytes(chunk);
  uint64_t sum = 0;
  for (uint64_t page = first_page(chunk); page * kPageBytes < bytes; page += every_) {
    const uint64_t at = page * kPageBytes;
    const uint64_t digest = digest64({value + at, std::min(kPageBytes, bytes - at)});
    // Its place counts too.
    sum += mix64(digest ^ mix64(chunk * pages_of_chunk_ + page + 1));
  }
  return sum;
}

}  // namespace rhz
