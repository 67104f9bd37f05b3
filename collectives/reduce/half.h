// The two 16-bit floats and f32: IEEE binary16 (f16) and bfloat16 (bf16), as their bits.  Round to
// nearest, ties to even; subnormals are kept; every NaN becomes the canonical quiet one.  Pure
// functions: any thread.
//
// always_inline because translation units for different instruction sets include this header: an
// out-of-line copy would be merged by the linker, and a plain CPU might then run the AVX-512 one.
// For the same reason no std:: function is called. Selections instead of branches, so that loops
// over these functions vectorise.
#pragma once

#include <cstdint>

#define RHZ_REDUCE_INLINE [[gnu::always_inline]] constexpr inline

namespace rhz::reduce {

inline constexpr uint16_t kF16Nan = 0x7e00;
inline constexpr uint16_t kBf16Nan = 0x7fc0;
inline constexpr uint32_t kF32Nan = 0x7fc00000;
inline constexpr uint64_t kF64Nan = 0x7ff8000000000000;

RHZ_REDUCE_INLINE float f32_from_bits(uint32_t bits) { return __builtin_bit_cast(float, bits); }
RHZ_REDUCE_INLINE uint32_t bits_of(float value) { return __builtin_bit_cast(uint32_t, value); }

RHZ_REDUCE_INLINE float f32_from_bf16(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  return f32_from_bits((bits & 0x7fffffff) > 0x7f800000 ? kF32Nan : bits);
}

// The result in the upper 16 bits; those below are to be ignored.
RHZ_REDUCE_INLINE uint32_t bf16_in_upper_half(float value) {
  const uint32_t bits = bits_of(value);
  // Half a unit in the last place, less one where the kept part is even: a tie then carries only
  // into an odd one.  The carry may run into the exponent, which is right up to infinity included.
  const uint32_t rounded = bits + 0x7fff + ((bits >> 16) & 1);
  return value == value ? rounded : kF32Nan;
}

RHZ_REDUCE_INLINE uint16_t bf16_from_f32(float value) {
  return static_cast<uint16_t>(bf16_in_upper_half(value) >> 16);
}

// After F. Giesen, "half_to_float" and "float_to_half_fast3_rtne" (public domain), with selections
// for his branches.
RHZ_REDUCE_INLINE float f32_from_f16(uint16_t half) {
  constexpr uint32_t kRebias = (127u - 15) << 23;
  const uint32_t magnitude = half & 0x7fffu;
  const uint32_t sign = (half & 0x8000u) << 16;
  const uint32_t normal = (magnitude << 13) + kRebias;
  // Subnormal: read the mantissa as that of 2^-14 * 1.m, then subtract the 2^-14 that is too much.
  // Exact.
  constexpr uint32_t kSmallestNormal = 113u << 23;
  const uint32_t subnormal =
      bits_of(f32_from_bits((magnitude << 13) + kSmallestNormal) - f32_from_bits(kSmallestNormal));
  const uint32_t finite = magnitude < 0x0400 ? subnormal : normal;
  const uint32_t number = magnitude == 0x7c00 ? 0x7f800000 : finite;
  return f32_from_bits(magnitude > 0x7c00 ? kF32Nan : (number | sign));
}

RHZ_REDUCE_INLINE uint16_t f16_from_f32(float value) {
  const uint32_t bits = bits_of(value);
  const uint32_t magnitude = bits & 0x7fffffff;
  const uint32_t sign = (bits >> 16) & 0x8000;
  constexpr uint32_t kRebias = (127u - 15) << 23;
  // Ties to even, as in bf16_from_f32; 65520 and more carry into infinity.
  const uint32_t normal = (magnitude - kRebias + 0x0fff + ((magnitude >> 13) & 1)) >> 13;
  // Below 2^-14: adding 2^-1 aligns the mantissa so that the FPU rounds at 2^-24, the unit of f16's
  // subnormals.
  constexpr uint32_t kAlign = 126u << 23;
  const uint32_t subnormal = bits_of(f32_from_bits(magnitude) + f32_from_bits(kAlign)) - kAlign;
  const uint32_t finite = magnitude < (113u << 23) ? subnormal : normal;
  const uint32_t number = magnitude >= (143u << 23) ? 0x7c00 : finite;
  return static_cast<uint16_t>(magnitude > 0x7f800000 ? kF16Nan : (number | sign));
}

}  // namespace rhz::reduce
