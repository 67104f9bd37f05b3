// What tells one kind of collective from another: who puts something into a chunk, and who has to
// end up with it.
#pragma once

#include "tests/model/state.h"

namespace rhz::model {

struct Shape {
  PeerSet sources;
  PeerSet needers;
};

// Of an op that began in a view with the members `layout` (only their blocks exist), for a peer who
// believes in that root.
Shape shape_of(const Config& config, PeerSet layout, int root, int chunk);

// The result, if there is one, is at the root alone; whoever loses it cannot tell from what it
// holds.
constexpr bool ends_at_root(Kind kind) { return kind == Kind::kReduce || kind == Kind::kGather; }
constexpr bool begins_at_root(Kind kind) {
  return kind == Kind::kBroadcast || kind == Kind::kScatter;
}
constexpr bool has_root(Kind kind) { return ends_at_root(kind) || begins_at_root(kind); }

// Blocks of the buffers belong to ranks.
constexpr bool has_layout(Kind kind) {
  return kind != Kind::kAllReduce && kind != Kind::kBroadcast && kind != Kind::kReduce;
}
// A value is the input of one peer, who holds it as soon as it begins.
constexpr bool has_one_source(Kind kind) {
  return kind != Kind::kAllReduce && kind != Kind::kReduce && kind != Kind::kReduceScatter;
}
// A result goes round the ring (else: straight to the one who needs it).
constexpr bool goes_round(Kind kind) {
  return kind == Kind::kAllReduce || kind == Kind::kBroadcast || kind == Kind::kAllGather;
}
// One full participant proves that all have begun, and that nothing more can fail.
constexpr bool full_is_complete(Kind kind) {
  return kind == Kind::kAllReduce || kind == Kind::kAllGather || ends_at_root(kind);
}

// Chunks of a kind with a layout: one per block.  0: any number.
int chunks_of(Kind kind, int peers);

}  // namespace rhz::model
