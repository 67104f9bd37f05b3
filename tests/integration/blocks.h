// How many blocks a rank gives to a collective, and how many it gets (rhizome.h).
#pragma once

#include <cstdint>

namespace rhz::test {

enum class Exchange : uint8_t { kBroadcast, kReduce, kAllGather, kReduceScatter, kGather, kScatter, kAllToAll };

constexpr uint32_t blocks_given(Exchange kind, bool is_root, uint32_t world) {
  switch (kind) {
    case Exchange::kBroadcast: return is_root;
    case Exchange::kScatter: return is_root ? world : 0;
    case Exchange::kReduceScatter:
    case Exchange::kAllToAll: return world;
    default: return 1;
  }
}

constexpr uint32_t blocks_got(Exchange kind, bool is_root, uint32_t world) {
  switch (kind) {
    case Exchange::kBroadcast: return !is_root;
    case Exchange::kReduce: return is_root;
    case Exchange::kGather: return is_root ? world : 0;
    case Exchange::kAllGather:
    case Exchange::kAllToAll: return world;
    default: return 1;
  }
}

}  // namespace rhz::test
