// The ways to do an all-reduce, by name.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace rhz {

// Numbers travel in an op's signature.
enum class Algorithm : uint8_t {
  kAuto = 0,
  kRing = 1,
  kDirect = 2,
  kDoubling = 3,
  kHalving = 4,
  kTree = 5,
  kHierarchical = 6,
};
inline constexpr uint32_t kAlgorithms = 7;

const char* name(Algorithm algorithm);
std::optional<Algorithm> algorithm_named(std::string_view name);

}  // namespace rhz
