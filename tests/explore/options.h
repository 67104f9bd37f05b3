// What is explored: sizes, faults, and how much of it.  Plain data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "runtime/agreement/report.h"

namespace rhz::explore {

inline constexpr uint32_t kMaxPeers = 4;
inline constexpr uint32_t kMaxOps = 2;
inline constexpr uint32_t kMaxChunks = 4;

const char* name_of(RebuildMode mode);

struct Options {
  uint32_t peers = 3;
  uint32_t chunks = 2;
  uint32_t ops = 1;  // consecutive all-reduces
  RebuildMode mode = RebuildMode::kStrict;
  bool retain = false;  // release rule b, else a
  bool bulk = false;    // more than 16 KiB: bulk lane, GRANTs, frames that read the caller's memory
  bool in_place = false;   // the result replaces the input
  bool late_read = false;  // such frames are read when they arrive, else when they are sent
  bool together = false;   // all peers have begun, else each begins at any moment

  // How many of each fault may strike, at any moment.
  uint32_t crashes = 0;     // of peers
  uint32_t suspicions = 0;  // a peer that lives is taken for dead by another one
  uint32_t restarts = 0;    // the coordinator dies, between any two of its actions, and begins anew
  uint32_t faults = 2;      // all together
  uint32_t halves = 0;      // frames that land in two halves, between which anything may happen

  uint64_t most_states = 20'000'000;
  uint32_t most_steps = 400;  // of one way
  bool merge = true;          // see Histories
  bool trace = false;

  std::string text() const;
};

}  // namespace rhz::explore
