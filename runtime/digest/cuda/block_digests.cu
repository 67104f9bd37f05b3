// XXH3-128 (Y. Collet, xxHash 0.8: seed 0, the default secret) of every block of a piece of memory:
// the same bytes as digest128() gives of each.
//
// The algorithm has eight accumulators, which take eight bytes each of every stripe of 64 bytes: so
// eight threads make one digest, and no bytes are read twice.  An accumulator also gets its
// neighbour's input, which comes by a shuffle.  Blocks do not depend on each other: that is where
// the parallelism is.  A thread loads the 16 stripes between two scrambles at once.
#include "runtime/digest/cuda/block_digests.h"

namespace {

constexpr uint64_t kPrime32_1 = 0x9E3779B1u, kPrime32_2 = 0x85EBCA77u, kPrime32_3 = 0xC2B2AE3Du;
constexpr uint64_t kPrime64_1 = 0x9E3779B185EBCA87ull, kPrime64_2 = 0xC2B2AE3D27D4EB4Full,
                   kPrime64_3 = 0x165667B19E3779F9ull, kPrime64_4 = 0x85EBCA77C2B2AE63ull,
                   kPrime64_5 = 0x27D4EB2F165667C5ull;
constexpr uint64_t kAvalanche = 0x165667919E3779F9ull;
constexpr int kStripes = 16;  // between two scrambles: (192 - 64) / 8

constexpr int kSecretBytes = 192;
__constant__ uint8_t secret[kSecretBytes] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
};

__device__ __forceinline__ uint64_t secret_at(int offset) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = value << 8 | secret[offset + i];
  return value;
}

// One accumulator of the eight: what it takes of a stripe.
__device__ __forceinline__ void take(uint64_t& acc, uint64_t value, uint64_t key_of_stripe) {
  const uint64_t key = value ^ key_of_stripe;
  acc += __shfl_xor_sync(0xffffffffu, value, 1);
  acc += (key & 0xffffffffu) * (key >> 32);
}

__device__ __forceinline__ uint64_t folded(uint64_t a, uint64_t b) {
  return a * b ^ __umul64hi(a, b);
}

// Of all eight accumulators, pair by pair; every thread of the eight gets the result.
__device__ __forceinline__ uint64_t merged(uint64_t acc, int lane, int secret_offset,
                                           uint64_t start) {
  const uint64_t own = acc ^ secret_at(secret_offset + 8 * lane);
  uint64_t sum = folded(own, __shfl_xor_sync(0xffffffffu, own, 1));
  sum += __shfl_xor_sync(0xffffffffu, sum, 2);
  sum += __shfl_xor_sync(0xffffffffu, sum, 4);
  uint64_t hash = start + sum;
  hash ^= hash >> 37;
  hash *= kAvalanche;
  return hash ^ hash >> 32;
}

}  // namespace

// Two of them could be on a multiprocessor: so that one leaves half of it to other kernels.
extern "C" __global__ void __launch_bounds__(RHZ_DIGEST_THREADS, 2)
    rhz_block_digests(const BlockDigests p) {
  if (p.blocks == 0) return;  // a run that only loads it
  const int lane = threadIdx.x % RHZ_DIGEST_LANES;
  const uint64_t asked =
      (static_cast<uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / RHZ_DIGEST_LANES;
  // Threads beyond the last block do it once more: shuffles need all of a warp.
  const uint64_t block = asked < p.blocks ? asked : p.blocks - 1;
  const uint64_t* const words = reinterpret_cast<const uint64_t*>(
                                    static_cast<const uint8_t*>(p.bytes) + block * p.block_bytes) +
                                lane;
  constexpr uint64_t kBegin[RHZ_DIGEST_LANES] = {kPrime32_3, kPrime64_1, kPrime64_2, kPrime64_3,
                                                 kPrime64_4, kPrime32_2, kPrime64_5, kPrime32_1};
  uint64_t acc = 0;
#pragma unroll
  for (int i = 0; i < RHZ_DIGEST_LANES; ++i)
    if (i == lane) acc = kBegin[i];
  uint64_t keys[kStripes];
#pragma unroll
  for (int i = 0; i < kStripes; ++i) keys[i] = secret_at(8 * i + 8 * lane);
  const uint64_t scramble = secret_at(kSecretBytes - 64 + 8 * lane);
  const uint64_t rounds = (p.block_bytes - 1) / (64 * kStripes);
  const auto load = [&](uint64_t stripe) { return words[stripe * RHZ_DIGEST_LANES]; };
  for (uint64_t round = 0; round < rounds; ++round) {
    uint64_t values[kStripes];
#pragma unroll
    for (int i = 0; i < kStripes; ++i) values[i] = load(round * kStripes + i);
#pragma unroll
    for (int i = 0; i < kStripes; ++i) take(acc, values[i], keys[i]);
    acc ^= acc >> 47;
    acc ^= scramble;
    acc *= kPrime32_1;
  }
  // What is left of a multiple of 1024: 15 stripes, and the last one with a key of its own.
#pragma unroll
  for (int i = 0; i < kStripes - 1; ++i) take(acc, load(rounds * kStripes + i), keys[i]);
  take(acc, load(rounds * kStripes + kStripes - 1), secret_at(kSecretBytes - 64 - 7 + 8 * lane));
  const uint64_t low = merged(acc, lane, 11, p.block_bytes * kPrime64_1);
  const uint64_t high = merged(acc, lane, kSecretBytes - 64 - 11, ~(p.block_bytes * kPrime64_2));
  // Big-endian, the high half first: each of the eight threads writes two bytes.
  if (asked >= p.blocks) return;
  const uint64_t half = lane < 4 ? high : low;
  const int shift = 48 - 16 * (lane % 4);
  uint8_t* const out = p.digests + 16 * block + 2 * lane;
  out[0] = static_cast<uint8_t>(half >> (shift + 8));
  out[1] = static_cast<uint8_t>(half >> shift);
}
