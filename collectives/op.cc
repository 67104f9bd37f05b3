#include "collectives/op.h"

namespace rhz {
namespace {
constexpr uint32_t kCountBits = 46;
constexpr uint64_t kCountMask = (uint64_t{1} << kCountBits) - 1;
static_assert(kMaxCount <= kCountMask);
}  // namespace

uint64_t signature_of(const OpSpec& spec) {
  return uint64_t{static_cast<uint8_t>(spec.kind)} << 60 |
         uint64_t{static_cast<uint8_t>(spec.dtype)} << 56 |
         uint64_t{static_cast<uint8_t>(spec.redop)} << 52 |
         uint64_t{static_cast<uint8_t>(spec.rebuild)} << 50 |
         uint64_t{static_cast<uint8_t>(spec.algorithm)} << kCountBits | (spec.count & kCountMask);
}

std::string describe_signature(uint64_t signature) {
  static constexpr const char* kKinds[] = {"?", "all-reduce", "barrier", "admit", "admit", "verify"};
  static constexpr const char* kModes[] = {"?", "strict", "keep", "fail"};
  const auto kind = signature >> 60;
  std::string text = kind < std::size(kKinds) ? kKinds[kind] : "unknown op";
  if (kind != static_cast<uint64_t>(OpKind::kAllReduce)) return text;
  const auto dtype = static_cast<reduce::Dtype>(signature >> 56 & 15);
  const auto redop = static_cast<reduce::RedOp>(signature >> 52 & 15);
  text += std::string(" of ") + std::to_string(signature & kCountMask) + " × " +
          reduce::name(dtype) + ", " + reduce::name(redop) + ", rebuild " +
          kModes[signature >> 50 & 3];
  if (const auto wanted = signature >> kCountBits & 15; wanted != 0 && wanted < kAlgorithms)
    text += std::string(", algorithm ") + name(static_cast<Algorithm>(wanted));
  return text;
}

}  // namespace rhz
