// What an op holds, chunk by chunk: the part of its state that a seal reports and an install rewrites.
#pragma once

#include <cstdint>
#include <memory>
#include <memory_resource>
#include <vector>

#include "runtime/agreement/report.h"
#include "runtime/agreement/resolution.h"
#include "runtime/base/types.h"
#include "runtime/memory/buffer.h"

namespace rhz {

// A partial that went on in another epoch than it was begun in.
struct Resumed {
  std::vector<Slot> inputs;    // of the partial, rising
  std::vector<Slot> departed;  // those of them that are no participants any more: they count nevertheless
  std::vector<Slot> way;       // its holder, and those who add to it, in that order
};

struct Chunk {
  Epoch lineage;             // of the final value held here; 0: none
  OpSeq upto;                // of the segments of the final value that are here, and travels on with it (W13)
  Epoch due;                 // lineage of the value that is to come in this epoch
  uint32_t program = 0;      // index into the run's programs, for this epoch
  uint32_t finals = 0;       // segments of the final value that are in place (or staged)
  uint64_t digest = 0;       // of the value held here, as far as it is verified (O2)
  bool empty = false;        // zeros: its source is gone
  bool begun = false;        // its program runs in this epoch
  Buffer staged;             // final value until the chunk is complete, where it may not land in place
  Buffer original;           // own input, where the result overwrites it and the mode may need it again
  Buffer sent;               // the partial that went on in this epoch: room for the original once the final value comes back,
                             // and what another epoch may go on from (kInclude)
  Buffer resumed;            // the partial that goes on from here in this epoch; it has the own input
  uint32_t origin = 0;       // where on the ring its way begins; of programs of the ring
  std::shared_ptr<const Resumed> resumption;  // of the value held here or due; null: of the participants alone
};

class ChunkTable {
 public:
  explicit ChunkTable(uint32_t chunks, std::pmr::memory_resource* memory = std::pmr::get_default_resource())
      : chunks_(chunks, memory) {}

  uint32_t size() const { return static_cast<uint32_t>(chunks_.size()); }
  Chunk& operator[](uint32_t chunk) { return chunks_[chunk]; }
  const Chunk& operator[](uint32_t chunk) const { return chunks_[chunk]; }

  bool held(uint32_t chunk) const { return chunks_[chunk].lineage != Epoch(0); }
  uint32_t held_count() const { return held_; }
  bool full() const { return held_ == size(); }

  // Of the value that is held or due.
  const std::vector<Slot>& departed(uint32_t chunk) const {
    static const std::vector<Slot> nobody;
    const auto& resumption = chunks_[chunk].resumption;
    return resumption ? resumption->departed : nobody;
  }

  void hold(uint32_t chunk, Epoch lineage);
  void discard(uint32_t chunk);
  // The same value by another lineage: its source has it all along, and everybody else gets it in this epoch (L1).
  void make_anew(uint32_t chunk, Epoch lineage) { chunks_[chunk].lineage = lineage; }
  // Forgets what was on its way (install, rule D); what is held stays until the decision says otherwise.
  void forget_progress();
  // In runs that do not cross multiples of `block` chunks, nor from values to zeros.
  std::vector<HeldRun> report(uint32_t block) const;

 private:
  std::pmr::vector<Chunk> chunks_;
  uint32_t held_ = 0;
};

}  // namespace rhz
