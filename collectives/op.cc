#include "collectives/op.h"

#include "runtime/base/prng.h"

namespace rhz {
namespace {
constexpr uint32_t kCountBits = 46;
constexpr uint64_t kCountMask = (uint64_t{1} << kCountBits) - 1;
constexpr uint64_t kExchange = 0x7861;  // no other all-gather is this one
constexpr uint64_t kFusedBit = uint64_t{1} << (kCountBits - 1);
static_assert(kMaxCount < kFusedBit);
}  // namespace

uint64_t signature_of(const OpSpec& spec, const Blocks& blocks) {
  uint64_t what = spec.count;
  if (!is_uniform(spec.kind)) {
    what = mix64(what ^ mix64(blocks.root.value));
    for (Slot slot : blocks.layout) what = mix64(what ^ slot.value);
    if (spec.exchange) what = mix64(what ^ kExchange);
    if (spec.varying)
      for (uint64_t count : spec.varying->counts) what = mix64(what ^ mix64(count));
  }
  if (spec.parts != 0) what = mix64(spec.count ^ spec.parts) | kFusedBit;
  return uint64_t{static_cast<uint8_t>(spec.kind)} << 60 |
         uint64_t{static_cast<uint8_t>(spec.dtype)} << 56 |
         uint64_t{static_cast<uint8_t>(spec.redop)} << 52 |
         uint64_t{static_cast<uint8_t>(spec.rebuild) & 3u} << 50 |
         uint64_t{static_cast<uint8_t>(spec.algorithm)} << kCountBits | (what & kCountMask);
}

bool closes(uint64_t signature) { return signature >> 60 == static_cast<uint64_t>(OpKind::kClose); }

std::string describe_signature(uint64_t signature) {
  static constexpr const char* kKinds[] = {"?",         "all-reduce", "barrier",        "admit",  "admit",
                                           "verify",    "broadcast",  "reduce",         "all-gather",
                                           "reduce-scatter", "gather", "scatter",       "all-to-all", "split", "close", "measure"};
  static constexpr const char* kModes[] = {"include", "strict", "keep", "fail"};
  const auto number = signature >> 60;
  if (number >= std::size(kKinds)) return "unknown op";
  std::string text = kKinds[number];
  const auto kind = static_cast<OpKind>(number);
  if (is_uniform(kind) && kind != OpKind::kAllReduce) return text;
  const auto dtype = static_cast<reduce::Dtype>(signature >> 56 & 15);
  const auto redop = static_cast<reduce::RedOp>(signature >> 52 & 15);
  const bool fused = is_uniform(kind) && (signature & kFusedBit) != 0;
  if (fused) text = "several all-reduces in one (rhz_group_begin)";
  text += " of " + (is_uniform(kind) && !fused ? std::to_string(signature & kCountMask) + " × " : std::string());
  text += reduce::name(dtype);
  if (has_many_sources(kind)) text += std::string(", ") + reduce::name(redop);
  text += std::string(", rebuild ") + kModes[signature >> 50 & 3];
  if (const auto wanted = signature >> kCountBits & 15; wanted != 0 && wanted < kAlgorithms)
    text += std::string(", algorithm ") + name(static_cast<Algorithm>(wanted));
  return text;
}

const std::vector<ContributorRun>& OpOutcome::contributors() const {
  static const std::vector<ContributorRun> none;
  return runs ? *runs : none;
}

}  // namespace rhz
