#include "collectives/schedule/layout.h"

#include <algorithm>
#include <bit>

#include "runtime/wire/frame.h"

namespace rhz {
namespace {
constexpr uint64_t kSmallestChunk = 16u << 10;  // below, the cost of a frame outweighs a shorter pipeline
constexpr uint64_t kMostChunks = 65536;         // bounds reports and per-op state
}  // namespace

Layout make_layout(uint64_t count, uint32_t element_bytes, const RunConfig& config, uint32_t blocks) {
  Layout layout{count, element_bytes, 0, 0, 1, blocks, {}};
  const uint64_t bytes = layout.bytes();
  uint64_t chunk_bytes = std::max<uint64_t>(bytes, element_bytes);
  if (bytes > wire::kEagerBytes) {
    // Two chunks per rank keep every link busy; powers of two fit the buffer pool.
    const uint64_t smallest = std::min<uint64_t>(kSmallestChunk, config.chunk_bytes);
    chunk_bytes = std::bit_floor(bytes / (2 * uint64_t{config.world}));
    chunk_bytes = std::clamp<uint64_t>(chunk_bytes, smallest, config.chunk_bytes);
    const uint64_t most = std::max<uint64_t>(1, kMostChunks / blocks);
    chunk_bytes = std::max(chunk_bytes, std::bit_ceil((bytes + most - 1) / most));
  } else if (bytes > config.chunk_bytes) {
    chunk_bytes = config.chunk_bytes;  // a run configured for tiny chunks (tests)
  }
  const uint64_t segment_bytes = std::min<uint64_t>(chunk_bytes, config.segment_bytes);
  layout.chunk_elements = std::max<uint64_t>(1, chunk_bytes / element_bytes);
  layout.segment_elements = std::max<uint64_t>(1, segment_bytes / element_bytes);
  layout.chunks = blocks * static_cast<uint32_t>(std::max<uint64_t>(
                               1, (count + layout.chunk_elements - 1) / layout.chunk_elements));
  return layout;
}

Layout make_layout(const std::vector<uint64_t>& counts, uint32_t element_bytes, const RunConfig& config) {
  const uint64_t most = counts.empty() ? 0 : *std::max_element(counts.begin(), counts.end());
  Layout layout = make_layout(most, element_bytes, config, static_cast<uint32_t>(counts.size()));
  layout.counts = counts;
  return layout;
}

}  // namespace rhz
