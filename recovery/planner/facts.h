// What is known about a run in which state was lost: the input of the planner.  Plain values, any
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "recovery/average/stage_order.h"

namespace rhz::recovery {

// Memory of a dead process that a vault holds as well.
struct AttachFacts {
  uint64_t revision = 0;
  bool updating = false;  // the phase word: it died between begin_update and end_update
};

// A sealed generation of shards with parity.
struct GenerationFacts {
  uint64_t revision = 0;
  uint32_t data_shards = 0;  // it takes so many of a stripe
  // Of each stripe: with a living holder, and not known to be corrupt.
  std::vector<uint32_t> shards_left;
};

struct StageFacts {
  uint32_t live = 0;             // replicas that hold the run's revision
  uint32_t lost = 0;             // members that need the state
  uint64_t state_bytes = 0;      // of one member: parameters, moments, counters
  uint64_t parameter_bytes = 0;  // of these: what neighbours can be averaged for
  bool like_neighbours = true;   // parameters have the shapes of the stages beside it

  std::optional<AttachFacts> attach;
  std::vector<uint64_t> vault;  // revisions that the local snapshots of all its members have
  std::optional<GenerationFacts> shards;         // the newest one …
  std::optional<GenerationFacts> shards_before;  // … and the one before, while it is there
  std::optional<uint64_t> shadow;  // its revision
  std::vector<uint64_t> disk;      // revisions of complete checkpoints that hold the stage
};

// Bytes a second.  Measured where the run has measured them; the defaults are a host on a network
// of 1 Gbit/s.
struct Rates {
  double link = 125e6;
  double memory = 5e9;  // a copy in memory
  double digest = 5e9;
  double coding = 5e9;  // of data bytes, digests included
  double disk = 500e6;
};

// Whether neighbour averages may be used, which are not what was lost.  What is exact comes first
// unless the trainer asks otherwise: steps that are made again cost time, which a plan can show; an
// average changes the model, and what that costs shows only in the loss, later.
enum class Approximate : uint8_t {
  never,
  last_resort,  // where nothing exact is left, however old
  before_disk   // rather than going back to a checkpoint on disk
};

struct RunFacts {
  uint64_t revision = 0;    // that the living members hold
  double step_seconds = 1;  // what a step that is lost costs
  Schedule schedule = Schedule::plain;
  Approximate approximate = Approximate::last_resort;
  Rates rates;
  std::vector<StageFacts> stages;  // all of the pipeline, in its order, lost or not
};

}  // namespace rhz::recovery
