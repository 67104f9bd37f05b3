#include "runtime/agreement/blocks.h"

namespace rhz {

uint32_t Blocks::count() const {
  const auto n = static_cast<uint32_t>(layout.size());
  if (!has_layout(kind)) return 1;
  return kind == OpKind::kAllToAll ? n * n : n;
}

Whom Blocks::sources(uint32_t block) const {
  if (has_many_sources(kind)) return {};
  switch (kind) {
    case OpKind::kAllGather:
    case OpKind::kGather: return {Whom::Set::kOne, layout[block]};
    case OpKind::kAllToAll: return {Whom::Set::kOne, layout[block / layout.size()]};
    default: return {Whom::Set::kOne, root};
  }
}

Whom Blocks::needers(uint32_t block) const {
  switch (kind) {
    case OpKind::kBroadcast: return {Whom::Set::kAllButRoot, root};
    case OpKind::kReduce:
    case OpKind::kGather: return {Whom::Set::kOne, root};
    case OpKind::kScatter:
    case OpKind::kReduceScatter: return {Whom::Set::kOne, layout[block]};
    case OpKind::kAllToAll: return {Whom::Set::kOne, layout[block % layout.size()]};
    default: return {};
  }
}

}  // namespace rhz
