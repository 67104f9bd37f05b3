// How an op's elements are cut into chunks (the unit of agreement) and segments (the unit of pipelining, one frame).
// A function of the op and the run's configuration alone, so that it is the same on every rank and in every epoch.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/agreement/view.h"

namespace rhz {

struct Layout {
  uint64_t count = 0;           // elements of a block, of the largest one where they differ
  uint32_t element_bytes = 1;
  uint64_t chunk_elements = 0;  // of every chunk but the last
  uint64_t segment_elements = 0;
  uint32_t chunks = 1;          // of all blocks; at least one each, also without elements: contributions and signatures still travel
  uint32_t blocks = 1;          // agreement/blocks.h
  // Elements of each block; empty: all have `count`.  All have equally many chunks, the last ones of a small block without elements.
  std::vector<uint64_t> counts = {};

  uint64_t bytes() const { return count * element_bytes; }  // of a block, the largest
  uint64_t count_of(uint32_t block) const { return counts.empty() ? count : counts[block]; }
  uint32_t chunks_of_block() const { return chunks / blocks; }
  uint32_t block_of(uint32_t chunk) const { return chunk / chunks_of_block(); }
  // Elements before it in its block.
  uint64_t chunk_offset(uint32_t chunk) const { return (chunk % chunks_of_block()) * chunk_elements; }
  uint64_t chunk_count(uint32_t chunk) const {
    const uint64_t all = count_of(block_of(chunk)), before = chunk_offset(chunk);
    const uint64_t left = all > before ? all - before : 0;
    return left < chunk_elements ? left : chunk_elements;
  }
  uint64_t chunk_bytes(uint32_t chunk) const { return chunk_count(chunk) * element_bytes; }
  uint32_t segments(uint32_t chunk) const { return segments_of(chunk_count(chunk)); }
  // No chunk has more.
  uint32_t most_segments() const { return segments_of(count < chunk_elements ? count : chunk_elements); }
  uint64_t segment_count(uint32_t chunk, uint32_t segment) const {
    const uint64_t left = chunk_count(chunk) - segment * segment_elements;
    return left < segment_elements ? left : segment_elements;
  }
  // Elements before it in its block.
  uint64_t segment_offset(uint32_t chunk, uint32_t segment) const {
    return chunk_offset(chunk) + segment * segment_elements;
  }

 private:
  uint32_t segments_of(uint64_t elements) const {
    return elements == 0 ? 1 : static_cast<uint32_t>((elements + segment_elements - 1) / segment_elements);
  }
};

Layout make_layout(uint64_t count, uint32_t element_bytes, const RunConfig& config, uint32_t blocks = 1);
// Of blocks that have so many elements each.
Layout make_layout(const std::vector<uint64_t>& counts, uint32_t element_bytes, const RunConfig& config);

}  // namespace rhz
