#include "api/src/reduce_rate.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "collectives/reduce/kernels.h"

namespace rhz {
namespace {

constexpr size_t kElements = 16384;  // 64 KiB each of two operands
constexpr int kTries = 8;            // of which the best counts

uint64_t measure() {
  std::vector<float> a(kElements, 1), b(kElements, 2);
  auto* const out = reinterpret_cast<std::byte*>(a.data());
  const auto* const in = reinterpret_cast<const std::byte*>(b.data());
  const reduce::Kernel sum = reduce::kernels_for(reduce::Dtype::f32, reduce::RedOp::sum).combine;
  int64_t best = INT64_MAX;
  for (int i = 0; i < kTries; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    sum(out, out, in, kElements, 1);
    const std::chrono::nanoseconds took = std::chrono::steady_clock::now() - begin;
    best = std::min<int64_t>(best, took.count());
  }
  return static_cast<uint64_t>(std::max<int64_t>(best, 1)) * 1000 / (kElements * sizeof(float) / 1024);
}

}  // namespace

uint64_t reduce_ps_per_kib() {
  static const uint64_t measured = measure();
  return measured;
}

}  // namespace rhz
