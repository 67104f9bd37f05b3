#include "tests/sim/payload.h"

#include "runtime/base/bytes.h"
#include "runtime/digest/digest.h"

namespace rhz::sim {

Workload workload_of(const Config& config, OpKey op) {
  Prng random(mix64(config.seed ^ 0x77) ^ mix64(op.step * 1000003 + op.index));
  Workload w;
  if (random.chance(0.05)) {
    w.kind = OpKind::kBarrier;
    w.mode = random.chance(0.5) ? RebuildMode::kStrict : RebuildMode::kKeep;
    return w;
  }
  const double mode = random.unit();
  w.mode = mode < 0.45  ? RebuildMode::kStrict
           : mode < 0.9 ? RebuildMode::kKeep
                        : RebuildMode::kFail;
  w.average = random.chance(0.2);
  w.algorithm = static_cast<Algorithm>(mix64(random.next()) % kAlgorithms);
  if (random.chance(config.bulk)) {
    w.count = 2049 + random.below(1000);  // above 16 KiB: bulk lane, grants, no copies
  } else {
    w.count = random.chance(0.2) ? random.below(3) : 1 + random.below(120);
  }
  return w;
}

uint64_t input_of(uint64_t seed, OpKey op, NodeIndex who, uint64_t element) {
  const uint64_t key = mix64(seed * 31 + op.step) ^ mix64(op.index * 7919 + 13) ^ mix64(who + 101);
  return mix64(key + element * 0x9e3779b97f4a7c15ull);
}

void fill_input(const Config& config, OpKey op, NodeIndex who, uint64_t count, uint64_t* out) {
  for (uint64_t e = 0; e < count; ++e) out[e] = input_of(config.seed, op, who, e);
}

uint64_t hash_bytes(const std::byte* data, size_t size, uint64_t basis) {
  const Digest digest = digest128({data, size});
  return mix64(load<uint64_t>(reinterpret_cast<const std::byte*>(digest.data())) ^ basis);
}

}  // namespace rhz::sim
