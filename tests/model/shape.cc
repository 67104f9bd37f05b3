#include "tests/model/shape.h"

namespace rhz::model {
namespace {

// The peers but `left_out`, counted from 0.
PeerSet other(int left_out, int i) { return PeerSet::of(i < left_out ? i : i + 1); }

Shape whole_shape(const Config& config, int root, int c) {
  const PeerSet all = PeerSet::all_below(config.peers);
  const PeerSet at_root = PeerSet::of(root);
  switch (config.kind) {
    case Kind::kAllReduce: return {all, all};
    case Kind::kBroadcast: return {at_root, all.without(root)};
    case Kind::kScatter: return {at_root, other(root, c)};
    case Kind::kReduce: return {all, at_root};
    case Kind::kGather: return {other(root, c), at_root};
    case Kind::kAllGather: return {PeerSet::of(c), all};
    case Kind::kReduceScatter: return {all, PeerSet::of(c)};
    case Kind::kAllToAll: {
      const int from = c % config.peers;
      const int distance = 1 + c / config.peers;
      return {PeerSet::of(from), PeerSet::of((from + distance) % config.peers)};
    }
  }
  return {all, all};
}

}  // namespace

Shape shape_of(const Config& config, PeerSet layout, int root, int c) {
  Shape shape = whole_shape(config, root, c);
  if (!has_layout(config.kind)) return shape;
  shape.sources &= layout;
  shape.needers &= layout;
  if (shape.sources.empty()) shape.needers = {};
  return shape;
}

int chunks_of(Kind kind, int peers) {
  switch (kind) {
    case Kind::kAllReduce:
    case Kind::kBroadcast:
    case Kind::kReduce: return 0;
    case Kind::kScatter:
    case Kind::kGather: return peers - 1;
    case Kind::kAllGather:
    case Kind::kReduceScatter: return peers;
    case Kind::kAllToAll: return peers * (peers - 1);
  }
  return 0;
}

}  // namespace rhz::model
