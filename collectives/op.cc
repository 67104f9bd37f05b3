#include "collectives/op.h"

namespace rhz {

uint64_t signature_of(const OpSpec& spec) {
  return uint64_t{static_cast<uint8_t>(spec.kind)} << 60 |
         uint64_t{static_cast<uint8_t>(spec.dtype)} << 56 |
         uint64_t{static_cast<uint8_t>(spec.redop)} << 52 |
         uint64_t{static_cast<uint8_t>(spec.rebuild)} << 50 | (spec.count & ((1ull << 50) - 1));
}

std::string describe_signature(uint64_t signature) {
  static constexpr const char* kKinds[] = {"?", "all-reduce", "barrier", "admit", "admit", "verify"};
  static constexpr const char* kModes[] = {"?", "strict", "keep", "fail"};
  const auto kind = signature >> 60;
  std::string text = kind < std::size(kKinds) ? kKinds[kind] : "unknown op";
  if (kind != static_cast<uint64_t>(OpKind::kAllReduce)) return text;
  const auto dtype = static_cast<reduce::Dtype>(signature >> 56 & 15);
  const auto redop = static_cast<reduce::RedOp>(signature >> 52 & 15);
  text += std::string(" of ") + std::to_string(signature & ((1ull << 50) - 1)) + " × " +
          reduce::name(dtype) + ", " + reduce::name(redop) + ", rebuild " +
          kModes[signature >> 50 & 3];
  return text;
}

}  // namespace rhz
