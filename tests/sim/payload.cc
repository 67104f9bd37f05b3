#include "tests/sim/payload.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/bytes.h"
#include "runtime/digest/digest.h"

namespace rhz::sim {

namespace {

// The first op of a step is everybody's.
uint32_t axis_of(const Config& config, OpKey op) {
  Prng random(mix64(config.seed ^ 0x9a) ^ mix64(op.step * 1000003 + op.index));
  return config.groups && op.index > 0 && random.chance(0.7) ? 1 + static_cast<uint32_t>(random.below(kAxes)) : 0;
}

}  // namespace

Workload workload_of(const Config& config, OpKey op, NodeIndex who) {
  Prng random(mix64(config.seed ^ 0x77) ^ mix64(op.step * 1000003 + op.index));
  Workload w;
  w.axis = axis_of(config, op);
  if (random.chance(config.hasty))
    w.timeout = World::between(random, milliseconds(1), milliseconds(40));
  if (random.chance(0.08)) {
    w.kind = w.axis != 0 || random.chance(0.6) ? OpKind::kBarrier : OpKind::kVerify;
    w.mode = random.chance(0.5) ? RebuildMode::kStrict : RebuildMode::kKeep;
    if (w.kind == OpKind::kVerify) w.count = 4;
    return w;
  }
  w.floats = config.floats;
  const double mode = random.unit();
  w.mode = mode < 0.45  ? RebuildMode::kStrict
           : mode < 0.9 ? RebuildMode::kKeep
                        : RebuildMode::kFail;
  w.average = random.chance(0.2);
  w.algorithm = static_cast<Algorithm>(mix64(random.next()) % kAlgorithms);
  if (Prng dice(mix64(config.seed ^ 0x1c) ^ mix64(op.step * 1000003 + op.index));
      w.mode == RebuildMode::kKeep && dice.chance(config.include)) {
    w.mode = RebuildMode::kInclude;
    if (dice.chance(0.7)) w.algorithm = Algorithm::kRing;  // by which alone partials go on
  }
  if (random.chance(config.bulk)) {
    w.count = 2049 + random.below(1000);  // above 16 KiB: bulk lane, grants, no copies
  } else {
    w.count = random.chance(0.2) ? random.below(3) : 1 + random.below(120);
  }
  if (random.chance(config.others)) {
    w.kind = static_cast<OpKind>(static_cast<uint64_t>(OpKind::kBroadcast) + random.below(7));
    w.floats = false;
    w.algorithm = Algorithm::kAuto;
    if (has_root(w.kind)) w.root = Slot(static_cast<uint32_t>(random.below(random.chance(0.9) ? config.run.world : 16)));
    if (has_layout(w.kind)) w.count /= 3;
    if (has_layout(w.kind) && config.varying > 0) w.varying = random.chance(config.varying);
  }
  Prng own(random.next() ^ mix64(who));
  // In an all-to-all of its own sizes that may come to the same sizes, out of other places of a buffer, and no error.
  const bool own_sizes = w.kind == OpKind::kAllToAll && w.varying;
  if (!own_sizes && own.chance(config.odd)) ++w.count;
  return w;
}

uint64_t varying_count(const Config& config, OpKey op, const Workload& workload, uint32_t block) {
  if (block == 0) return workload.count;  // so that the largest is known
  Prng random(mix64(config.seed ^ 0x7a) ^ mix64(op.step * 1000003 + op.index) ^ mix64(block));
  return random.chance(0.2) ? 0 : random.below(workload.count + 1);
}

uint64_t input_of(uint64_t seed, OpKey op, NodeIndex who, uint64_t element) {
  const uint64_t key = mix64(seed * 31 + op.step) ^ mix64(op.index * 7919 + 13) ^ mix64(who + 101);
  return mix64(key + element * 0x9e3779b97f4a7c15ull);
}

namespace {

// Of many magnitudes, so that another order of the sum has other bits.
float float_of(uint64_t word) {
  const auto mantissa = static_cast<float>(static_cast<int32_t>(word & 0xffffff) - 0x800000);
  return std::ldexp(mantissa, static_cast<int>((word >> 32) % 24) - 30);
}

template <class T, class Of>
std::vector<std::byte> fold(const std::vector<NodeIndex>& who, bool average, uint64_t count,
                            Of of) {
  std::vector<std::byte> out(count * sizeof(T));
  for (uint64_t e = 0; e < count; ++e) {
    T value{};
    for (size_t i = 0; i < who.size(); ++i)
      value = i == 0 ? of(who[i], e) : static_cast<T>(value + of(who[i], e));
    if (average && !who.empty()) value /= static_cast<T>(who.size());
    store(out.data() + e * sizeof(T), value);
  }
  return out;
}

}  // namespace

std::vector<std::byte> result_of(uint64_t seed, OpKey op, const Workload& workload,
                                 const std::vector<NodeIndex>& who, uint64_t first,
                                 uint64_t count) {
  auto word = [&](NodeIndex p, uint64_t e) { return input_of(seed, op, p, first + e); };
  if (!workload.floats) return fold<uint64_t>(who, workload.average, count, word);
  return fold<float>(who, workload.average, count,
                     [&](NodeIndex p, uint64_t e) { return float_of(word(p, e)); });
}

void fill_input(const Config& config, OpKey op, NodeIndex who, const Workload& workload,
                uint64_t* out) {
  const auto bytes = result_of(config.seed, op, workload, {who}, 0, workload.count);
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<std::byte*>(out));
}

uint64_t hash_bytes(const std::byte* data, size_t size, uint64_t basis) {
  const Digest digest = digest128({data, size});
  return mix64(load<uint64_t>(reinterpret_cast<const std::byte*>(digest.data())) ^ basis);
}

}  // namespace rhz::sim
