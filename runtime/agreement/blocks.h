// What the chunks of an op are: whose input is in each, and who has to end up with it
// (docs/protocol.md, "Other collectives"). Pure functions of the kind, its layout and its root,
// which all ranks and the coordinator agree on.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/base/types.h"

namespace rhz {

// Numbers travel in an op's signature.
enum class OpKind : uint8_t {
  kAllReduce = 1,
  kBarrier = 2,
  kProbe = 3,   // how many newcomers wait, as the members have heard: the first half of rhz_admit
  kAdmit = 4,   // the boundary at which they enter: no data
  kVerify = 5,  // compares digests
  kBroadcast = 6,
  kReduce = 7,
  kAllGather = 8,
  kReduceScatter = 9,
  kGather = 10,
  kScatter = 11,
  kAllToAll = 12,
  // The two that make and end a sub-communicator (docs/protocol.md, "Groups").
  kSplit = 13,
  kClose = 14,
  kMeasure = 15,  // the ranks tell each other what their links cost (collectives/communicator_measure.cc)
};
inline constexpr OpKind kLastOpKind = OpKind::kMeasure;

// Every rank adds to every chunk, and every rank gets it: one block, no layout, no root.
constexpr bool is_uniform(OpKind kind) {
  return kind <= OpKind::kVerify || kind >= OpKind::kSplit;
}
constexpr bool has_root(OpKind kind) {
  return kind == OpKind::kBroadcast || kind == OpKind::kReduce || kind == OpKind::kGather ||
         kind == OpKind::kScatter;
}
// A piece for, or from, each rank of the view in which the op begins.
constexpr bool has_layout(OpKind kind) {
  return !is_uniform(kind) && kind != OpKind::kBroadcast && kind != OpKind::kReduce;
}
constexpr bool has_many_sources(OpKind kind) {
  return is_uniform(kind) || kind == OpKind::kReduce || kind == OpKind::kReduceScatter;
}
// Every rank ends up with the same bytes, so that digests of them can be compared (O2).
constexpr bool is_alike(OpKind kind) {
  return is_uniform(kind) || kind == OpKind::kAllGather || kind == OpKind::kBroadcast;
}
// Release by rule (b) is sound: one rank that is full proves that all have begun and that nothing
// can fail any more (Q3).
constexpr bool may_retain(OpKind kind) { return is_uniform(kind) || kind == OpKind::kAllGather; }

// A slot, everybody, or everybody but the root.
struct Whom {
  enum class Set : uint8_t { kOne, kAll, kAllButRoot };
  Set set = Set::kAll;
  Slot one = kAnySlot;  // kOne; kAllButRoot: the root
  bool has(Slot slot) const { return set == Set::kAll || (set == Set::kOne) == (slot == one); }
  friend bool operator==(const Whom&, const Whom&) = default;
};

struct Blocks {
  OpKind kind = OpKind::kAllReduce;
  Slot root = kAnySlot;
  std::vector<Slot> layout;  // by rank; of kinds that have one

  uint32_t count() const;
  Whom sources(uint32_t block) const;
  Whom needers(uint32_t block) const;
  // Of a chunk; all blocks have equally many.
  uint32_t block_of(uint32_t chunk, uint32_t chunks) const { return chunk / (chunks / count()); }
  friend bool operator==(const Blocks&, const Blocks&) = default;
};

}  // namespace rhz
