#include "api/tools/bench_values.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <type_traits>

#include "collectives/reduce/half.h"
#include "runtime/base/prng.h"

namespace rhz::tools {
namespace {

using reduce::Dtype;
using reduce::RedOp;

constexpr size_t kBlock =
    1024;  // elements checked at once: the accumulators stay in the first cache

struct F16 {
  uint16_t bits;
  operator double() const { return reduce::f32_from_f16(bits); }
};
struct Bf16 {
  uint16_t bits;
  operator double() const { return reduce::f32_from_bf16(bits); }
};

template <class T>
constexpr bool kFloat = !std::is_integral_v<T>;

template <class T>
T from_double(double value) {
  if constexpr (std::is_same_v<T, F16>)
    return {reduce::f16_from_f32(static_cast<float>(value))};
  else if constexpr (std::is_same_v<T, Bf16>)
    return {reduce::bf16_from_f32(static_cast<float>(value))};
  else
    return static_cast<T>(value);
}

// Sums of kMostRanks of them, and all partial ones, are exact: bf16 has 8 bits of significand, f16
// has 11.
template <class T>
constexpr int32_t kRange = std::is_same_v<T, Bf16>  ? 4
                           : std::is_same_v<T, F16> ? 32
                                                    : 512;
// Averages of integers are of sums that do not wrap.
template <class T>
constexpr int32_t kAverageRange = sizeof(T) == 1 ? 2 : 512;

inline uint32_t hash_of(uint32_t key, uint64_t index) {
  uint32_t x = static_cast<uint32_t>(index) * 0x9e3779b1u ^ key;
  x ^= x >> 15;
  x *= 0x85ebca6bu;
  return x ^ (x >> 13);
}

uint32_t key_of(uint32_t slot, uint64_t op) {
  return static_cast<uint32_t>(mix64(op * 4099 + slot + 1));
}

// What a float starts from: an integer, or for products a power of two that the others can undo.
template <class T>
double float_input(uint32_t h, RedOp redop) {
  if (redop == RedOp::prod) {
    constexpr double kFactors[] = {1, -1, 1, -1, 2, -2, 0.5, -0.5};
    return kFactors[std::is_same_v<T, F16> ? h >> 30 : h >> 29];  // f16 ends at 2^15
  }
  return static_cast<int32_t>(h & (2 * kRange<T> - 1)) - kRange<T>;
}

template <class T>
T integer_input(uint32_t h, RedOp redop) {
  if (redop == RedOp::avg) {
    const auto value = static_cast<int32_t>(h & (2 * kAverageRange<T> - 1));
    return static_cast<T>(std::is_signed_v<T> ? value - kAverageRange<T> : value);
  }
  return static_cast<T>((uint64_t{h} << 32 | h) ^ 0x5bd1e995u);
}

template <class T>
T input(uint32_t h, RedOp redop) {
  if constexpr (kFloat<T>)
    return from_double<T>(float_input<T>(h, redop));
  else
    return integer_input<T>(h, redop);
}

template <class T>
using Wide = std::conditional_t<kFloat<T>, double,
                                std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>>;

template <class W>
W combine(W a, W b, RedOp redop) {
  // Unsigned, so that wrapping is defined; the low bits are those of the narrow type.
  using U = std::conditional_t<std::is_integral_v<W>, uint64_t, W>;
  const U x = static_cast<U>(a), y = static_cast<U>(b);
  switch (redop) {
    case RedOp::sum:
    case RedOp::avg: return static_cast<W>(x + y);
    case RedOp::prod: return static_cast<W>(x * y);
    case RedOp::min: return std::min(a, b);
    case RedOp::max: return std::max(a, b);
    default: break;
  }
  if constexpr (std::is_integral_v<W>) {
    if (redop == RedOp::band) return a & b;
    if (redop == RedOp::bor) return a | b;
    return a ^ b;
  }
  return a;
}

template <class T>
bool equal(T got, Wide<T> all, size_t contributors, RedOp redop) {
  if (redop != RedOp::avg) {
    if constexpr (kFloat<T>)
      return static_cast<double>(got) == all;
    else
      return got == static_cast<T>(all);
  }
  const auto n = static_cast<Wide<T>>(contributors);
  if constexpr (!kFloat<T>) {
    return got == static_cast<T>(all / n);
  } else {
    // One rounding of the sum, one of the quotient, in the dtype's own precision.
    const double bound = sizeof(T) == 8           ? 1e-15
                         : sizeof(T) == 4         ? 2.4e-7
                         : std::is_same_v<T, F16> ? 2e-3
                                                  : 1.6e-2;
    return std::abs(static_cast<double>(got) - all / n) <= bound * std::abs(all / n);
  }
}

template <class T>
void fill_typed(T* out, uint64_t count, uint32_t key, RedOp redop) {
  for (uint64_t i = 0; i < count; ++i) out[i] = input<T>(hash_of(key, i), redop);
}

template <class T>
uint64_t wrong_typed(const T* result, uint64_t first, uint64_t count,
                     std::span<const uint32_t> slots, uint64_t op, RedOp redop) {
  uint64_t wrong = 0;
  std::array<Wide<T>, kBlock> all;
  for (uint64_t at = first; at < first + count; at += kBlock) {
    const size_t n = std::min<uint64_t>(kBlock, first + count - at);
    for (size_t s = 0; s < slots.size(); ++s) {
      const uint32_t key = key_of(slots[s], op);
      for (size_t i = 0; i < n; ++i) {
        const auto value = static_cast<Wide<T>>(input<T>(hash_of(key, at + i), redop));
        all[i] = s == 0 ? value : combine<Wide<T>>(all[i], value, redop);
      }
    }
    for (size_t i = 0; i < n; ++i) wrong += !equal<T>(result[at + i], all[i], slots.size(), redop);
  }
  return wrong;
}

// Calls with a value of the element type.
template <class F>
auto with_type(Dtype dtype, F&& call) {
  switch (dtype) {
    case Dtype::i8: return call(int8_t{});
    case Dtype::u8: return call(uint8_t{});
    case Dtype::i16: return call(int16_t{});
    case Dtype::u16: return call(uint16_t{});
    case Dtype::i32: return call(int32_t{});
    case Dtype::u32: return call(uint32_t{});
    case Dtype::i64: return call(int64_t{});
    case Dtype::u64: return call(uint64_t{});
    case Dtype::f16: return call(F16{});
    case Dtype::bf16: return call(Bf16{});
    case Dtype::f32: return call(float{});
    case Dtype::f64: break;
  }
  return call(double{});
}

}  // namespace

void Values::fill(void* out, uint64_t count, uint32_t slot, uint64_t op) const {
  with_type(dtype_, [&](auto type) {
    fill_typed(static_cast<decltype(type)*>(out), count, key_of(slot, op), redop_);
  });
}

uint64_t Values::wrong(const void* result, uint64_t first, uint64_t count,
                       std::span<const uint32_t> slots, uint64_t op) const {
  return with_type(dtype_, [&](auto type) {
    return wrong_typed(static_cast<const decltype(type)*>(result), first, count, slots, op, redop_);
  });
}

}  // namespace rhz::tools
