// splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): small, seedable, splittable.
#pragma once

#include <cstdint>

#include "runtime/base/types.h"

namespace rhz {

constexpr uint64_t mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

class Prng {
 public:
  explicit constexpr Prng(uint64_t seed) : state_(seed) {}
  constexpr uint64_t next() { return mix64(state_ += 0x9e3779b97f4a7c15ull); }
  // Uniform in [0, bound); bound > 0.  The bias is below bound / 2^64.
  constexpr uint64_t below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
  }
  constexpr double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  constexpr bool chance(double p) { return unit() < p; }
  // An independent stream, so that taking numbers from one does not shift another.
  constexpr Prng split(uint64_t label) { return Prng(mix64(next() ^ mix64(label))); }

 private:
  uint64_t state_;
};

// 128 bits from the operating system.
PeerId random_peer_id();
uint64_t random_u64();

}  // namespace rhz
