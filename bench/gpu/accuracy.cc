// Sums of random numbers by each kernel, of a length that fills no last pack, beside the sums in
// float64 of the same inputs.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "bench/gpu/bench.h"
#include "bench/gpu/peer_group.h"
#include "collectives/reduce/half.h"

namespace rhz::gpu {
namespace {

constexpr uint64_t kCount = (1u << 20) + 7, kPushCount = 12287;  // of each size another number of packs for a thread

struct Type {
  const char* name;
  size_t bytes;
  double half_ulp;  // of a rounded sum, relative to it
  // Of the largest sum that there could be of values up to 1: rounded once, or at each of the additions.
  double bound(uint32_t ranks) const { return half_ulp * (bytes == 2 ? ranks : ranks * (ranks + 1) / 2 - 1); }
};
const Type kTypes[] = {
    {"f64", 8, 0x1p-53}, {"f32", 4, 0x1p-24}, {"f16", 2, 0x1p-11}, {"bf16", 2, 0x1p-8}};

void store(const Type& type, std::byte* at, float x) {
  const auto put = [&](auto value) { std::memcpy(at, &value, sizeof value); };
  if (type.bytes == 8)
    put(static_cast<double>(x));
  else if (type.bytes == 4)
    put(x);
  else if (type.name[0] == 'b')
    put(reduce::bf16_from_f32(x));
  else
    put(reduce::f16_from_f32(x));
}
double load(const Type& type, const std::byte* at) {
  const auto get = [&](auto value) {
    std::memcpy(&value, at, sizeof value);
    return value;
  };
  if (type.bytes == 8) return get(0.0);
  if (type.bytes == 4) return static_cast<double>(get(0.0f));
  const uint16_t bits = get(uint16_t{});
  return static_cast<double>(type.name[0] == 'b' ? reduce::f32_from_bf16(bits)
                                                 : reduce::f32_from_f16(bits));
}

}  // namespace

void measure_accuracy(Meeting& meeting, const Options& options, uint32_t rank) {
  const Stream stream = make_stream();
  PeerGroup group(meeting, rank, options.ranks, size_t{16} << 20);
  std::vector<std::byte> bytes(kCount * 8), own(8);
  for (const Type& type : kTypes)
    for (const std::string way : {"push", "one_shot", "two_shot"}) {
      const uint64_t count = way == "push" ? kPushCount : kCount;
      for (uint64_t i = 0; i < count; ++i)
        store(type, bytes.data() + i * type.bytes, random_value(rank, i));
      to_device(group.in(), bytes.data(), count * type.bytes, stream);
      fill(group.out(), 0xA5, count * type.bytes, stream);
      (void)synchronize(stream);
      meeting.barrier();
      const std::string name = "rhz_" + way + "_" + type.name;
      group.allreduce_as(name.c_str(), count, way == "push" ? 4 : 32, stream);
      to_host(bytes.data(), group.out(), count * type.bytes, stream);
      const int error = synchronize(stream);
      double worst = 0;
      for (uint64_t i = 0; i < count; ++i) {
        double sum = 0;
        for (uint32_t r = 0; r < options.ranks; ++r) {
          store(type, own.data(), random_value(r, i));
          sum += load(type, own.data());
        }
        const double off = std::abs(load(type, bytes.data() + i * type.bytes) - sum);
        worst = std::max(worst, std::isnan(off) ? 1e9 : off);
      }
      const bool well = error == 0 && worst <= 1.001 * type.bound(options.ranks);
      if (!well) meeting.failures.fetch_add(1);
      if (rank == 0)
        std::printf("%s %s: largest error against float64 %.3g of %.3g\n", well ? "ok" : "FAIL",
                    name.c_str(), worst, type.bound(options.ranks));
      std::fflush(stdout);
      meeting.barrier();
    }
}

}  // namespace rhz::gpu
