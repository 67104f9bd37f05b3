#include "collectives/rebuild/chunk_table.h"

#include "runtime/base/assert.h"

namespace rhz {

void ChunkTable::hold(uint32_t chunk, Epoch lineage) {
  RHZ_ASSERT("L1", !held(chunk));
  chunks_[chunk].lineage = lineage;
  chunks_[chunk].resumed.reset();
  ++held_;
}

void ChunkTable::discard(uint32_t chunk) {
  if (!held(chunk)) return;
  chunks_[chunk].lineage = Epoch(0);
  chunks_[chunk].upto = OpSeq(0);
  chunks_[chunk].resumption.reset();
  --held_;
}

void ChunkTable::forget_progress() {
  for (Chunk& chunk : chunks_) {
    chunk.finals = 0;
    chunk.begun = false;
    chunk.staged.reset();
    chunk.sent.reset();
    chunk.resumed.reset();
  }
}

std::vector<HeldRun> ChunkTable::report(uint32_t block) const {
  std::vector<HeldRun> runs;
  for (uint32_t c = 0; c < size(); ++c) {
    if (!held(c)) continue;
    if (!runs.empty() && runs.back().first + runs.back().count == c &&
        runs.back().lineage == chunks_[c].lineage && c % block != 0 &&
        chunks_[c].empty == chunks_[c - 1].empty && runs.back().departed == departed(c))
      ++runs.back().count;
    else
      runs.push_back({c, 1, chunks_[c].lineage, departed(c)});
  }
  return runs;
}

}  // namespace rhz
