// Neighbours in a pipeline: in which order a micro-batch passes the stages, and who can stand in
// for whom. CheckFree and CheckFree+ (Blagoev et al., "All is not lost: LLM recovery without
// checkpoints", 2025). Stages count from 0 here, from 1 in the paper.  Pure functions, any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/status.h"

namespace rhz::recovery {

enum class Schedule : uint8_t {
  plain,   // CheckFree: every micro-batch passes the stages in their order
  swapped  // CheckFree+: stage_order(); the ends then have stand-ins
};

// Even micro-batches pass the stages in their order; odd ones with the first two swapped, and the
// last two.  So the second stage learns the first one's part as well, and the last but one that of
// the last. kArgument: no stages, or 3, whose two pairs overlap.
[[nodiscard]] Result<std::vector<uint32_t>> stage_order(uint64_t micro_batch, uint32_t stages);

// What a lost stage is made of.
struct StandIn {
  bool copy = false;    // of `before`, else the average of both
  uint32_t before = 0;  // the stage in front; of a first stage, the one behind it
  uint32_t after = 0;
  friend bool operator==(const StandIn&, const StandIn&) = default;
};

// For stage `stage`, one of `lost`.  kStateLost, naming stages: a neighbour is lost as well, or it
// is the first or the last stage and the schedule is plain; the text says what to turn to where
// `next_source` does.  kArgument: numbers beyond `stages`, or fewer than 2 of them.
[[nodiscard]] Result<StandIn> stand_in(uint32_t stage, std::span<const uint32_t> lost,
                                       uint32_t stages, Schedule schedule,
                                       const std::string& next_source = "");

// Embedding and head are not averaged: a copy is kept beside them, updated with each step.
struct EdgeCopy {
  uint32_t owner = 0;
  uint32_t copy = 0;
  friend bool operator==(const EdgeCopy&, const EdgeCopy&) = default;
};
// Of at least 2 stages.
constexpr EdgeCopy embedding_copy() { return {0, 1}; }
constexpr EdgeCopy head_copy(uint32_t stages) { return {stages - 1, stages - 2}; }

}  // namespace rhz::recovery
