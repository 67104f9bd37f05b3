// What the simulated program computes: which ops a step has, and inputs of which every subset has
// another sum, so that a double count, a loss, stale data or a mix of two ops is visible in the
// result.
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

#include "collectives/op.h"
#include "collectives/schedule/layout.h"
#include "tests/sim/config.h"
#include "tests/sim/network.h"

namespace rhz::sim {

// An op by its place in the program; its number in the group is what the runtime makes of that.
struct OpKey {
  uint64_t step = 0;
  uint32_t index = 0;
  friend auto operator<=>(const OpKey&, const OpKey&) = default;
};

inline constexpr uint32_t kAxes = 3;

struct Workload {
  OpKind kind = OpKind::kAllReduce;
  RebuildMode mode = RebuildMode::kStrict;
  Algorithm algorithm = Algorithm::kAuto;
  Slot root = kAnySlot;
  uint32_t axis = 0;  // 0: the root group; else one of the sub-communicators (trainer_groups.cc)
  bool average = false;
  bool floats = false;  // f32, else u64
  uint64_t count = 0;
  bool varying = false;  // blocks of up to `count` elements, each where one of `count` would be
  Duration timeout = Duration::zero();
  // The order of the sum, which shows in the bits of floats, is known of the ring alone.
  bool has_known_order() const { return !floats || algorithm == Algorithm::kRing; }
  size_t element() const { return floats ? 4 : 8; }
  size_t words() const { return (count * element() + 7) / 8; }  // of a buffer
};

// As that process has it: now and then one gets an op wrong.
Workload workload_of(const Config& config, OpKey op, NodeIndex who);
// Elements of a block of one that varies: of rank r, or of what rank i gives rank j (i * ranks + j).
uint64_t varying_count(const Config& config, OpKey op, const Workload& workload, uint32_t block);
void fill_input(const Config& config, OpKey op, NodeIndex who, const Workload& workload,
                uint64_t* out);
uint64_t input_of(uint64_t seed, OpKey op, NodeIndex who, uint64_t element);
// Elements [first, first + count) of the result, summed in the order of `who`.
std::vector<std::byte> result_of(uint64_t seed, OpKey op, const Workload& workload,
                                 const std::vector<NodeIndex>& who, uint64_t first, uint64_t count);
uint64_t hash_bytes(const std::byte* data, size_t size, uint64_t basis = 0);

}  // namespace rhz::sim
