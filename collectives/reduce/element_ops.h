// One element's worth of every reduction: the semantics of kernels.h, written once.  Included by
// kernel_loops.h only, that is by one translation unit per instruction set.
//
// In an unnamed namespace, so that each of these has copies of its own (see half.h for what would
// happen otherwise). Written without branches: the compiler vectorises the loops around it.
#pragma once

#include "collectives/reduce/dtype.h"
#include "collectives/reduce/half.h"

namespace rhz::reduce {
namespace {

// How a dtype lies in memory (Stored) and what it is computed in (Value).
template <class T>
struct IntegerElement {
  using Stored = T;
  using Value = T;
  RHZ_REDUCE_INLINE static T widen(T stored) { return stored; }
  RHZ_REDUCE_INLINE static T narrow(T value) { return value; }
};

template <Dtype dtype>
struct Element;
template <>
struct Element<Dtype::i8> : IntegerElement<int8_t> {};
template <>
struct Element<Dtype::u8> : IntegerElement<uint8_t> {};
template <>
struct Element<Dtype::i16> : IntegerElement<int16_t> {};
template <>
struct Element<Dtype::u16> : IntegerElement<uint16_t> {};
template <>
struct Element<Dtype::i32> : IntegerElement<int32_t> {};
template <>
struct Element<Dtype::u32> : IntegerElement<uint32_t> {};
template <>
struct Element<Dtype::i64> : IntegerElement<int64_t> {};
template <>
struct Element<Dtype::u64> : IntegerElement<uint64_t> {};

template <>
struct Element<Dtype::f16> {
  using Stored = uint16_t;
  using Value = float;
  RHZ_REDUCE_INLINE static float widen(uint16_t stored) { return f32_from_f16(stored); }
  RHZ_REDUCE_INLINE static uint16_t narrow(float value) { return f16_from_f32(value); }
};

template <>
struct Element<Dtype::bf16> {
  using Stored = uint16_t;
  using Value = float;
  // The bits as they are: only results need canonical NaNs, and narrow() sees to it.
  RHZ_REDUCE_INLINE static float widen(uint16_t stored) {
    return f32_from_bits(static_cast<uint32_t>(stored) << 16);
  }
  RHZ_REDUCE_INLINE static uint16_t narrow(float value) { return bf16_from_f32(value); }
};

// narrow: which NaN an operation returns differs between architectures and with the operands'
// order.  One compare and one blend, hidden behind the memory traffic.
template <>
struct Element<Dtype::f32> {
  using Stored = float;
  using Value = float;
  RHZ_REDUCE_INLINE static float widen(float stored) { return stored; }
  RHZ_REDUCE_INLINE static float narrow(float value) {
    return value == value ? value : __builtin_bit_cast(float, kF32Nan);
  }
};

template <>
struct Element<Dtype::f64> {
  using Stored = double;
  using Value = double;
  RHZ_REDUCE_INLINE static double widen(double stored) { return stored; }
  RHZ_REDUCE_INLINE static double narrow(double value) {
    return value == value ? value : __builtin_bit_cast(double, kF64Nan);
  }
};

// The unsigned type in which T's arithmetic wraps.  At least 32 bits: 16-bit operands would be
// promoted to int, whose product can overflow.
template <size_t size>
struct Wrapping {
  using Type = uint32_t;
};
template <>
struct Wrapping<8> {
  using Type = uint64_t;
};

RHZ_REDUCE_INLINE float bitwise_or(float x, float y) {
  return f32_from_bits(bits_of(x) | bits_of(y));
}
RHZ_REDUCE_INLINE float bitwise_and(float x, float y) {
  return f32_from_bits(bits_of(x) & bits_of(y));
}
RHZ_REDUCE_INLINE double bitwise_or(double x, double y) {
  return __builtin_bit_cast(double,
                            __builtin_bit_cast(uint64_t, x) | __builtin_bit_cast(uint64_t, y));
}
RHZ_REDUCE_INLINE double bitwise_and(double x, double y) {
  return __builtin_bit_cast(double,
                            __builtin_bit_cast(uint64_t, x) & __builtin_bit_cast(uint64_t, y));
}

// T is float or double.  `x < y ? x : y` is one instruction, which returns y for equal values and
// for NaNs.  So either order of operands gives the same number, unless these are zeros, at most
// different in sign: OR-ing the bits then picks -0, AND-ing +0; or unless one is a NaN.
template <RedOp op, class T>
RHZ_REDUCE_INLINE T apply_float(T x, T y) {
  if constexpr (op == RedOp::sum) return x + y;
  if constexpr (op == RedOp::prod) return x * y;
  if constexpr (op == RedOp::min) {
    const T least = bitwise_or(x < y ? x : y, y < x ? y : x);
    return __builtin_isunordered(x, y) ? x + y : least;
  }
  if constexpr (op == RedOp::max) {
    const T greatest = bitwise_and(x > y ? x : y, y > x ? y : x);
    return __builtin_isunordered(x, y) ? x + y : greatest;
  }
}

template <RedOp op, class T>
RHZ_REDUCE_INLINE T apply_integer(T x, T y) {
  using Wide = typename Wrapping<sizeof(T)>::Type;
  if constexpr (op == RedOp::sum)
    return static_cast<T>(static_cast<Wide>(x) + static_cast<Wide>(y));
  if constexpr (op == RedOp::prod)
    return static_cast<T>(static_cast<Wide>(x) * static_cast<Wide>(y));
  if constexpr (op == RedOp::min) return x < y ? x : y;
  if constexpr (op == RedOp::max) return x > y ? x : y;
  if constexpr (op == RedOp::band) return static_cast<T>(x & y);
  if constexpr (op == RedOp::bor) return static_cast<T>(x | y);
  if constexpr (op == RedOp::bxor) return static_cast<T>(x ^ y);
}

// x / divisor, for floats in T itself.
template <class T, bool is_floating, size_t size = sizeof(T)>
struct Divider {
  T divisor;
  explicit Divider(uint32_t d) : divisor(static_cast<T>(d)) {}
  RHZ_REDUCE_INLINE T operator()(T x) const { return x / divisor; }
};

// Integers of 32 bits and less have no vector division, but their quotient in a float type F with
// at least as many bits of mantissa truncates right: a quotient below an integer k is below it by
// 1/d or more, and F's rounding error, at most x/d * 2^-bits, is less.  The divisor must be exact
// in F; beyond `limit` every quotient is 0 anyway.
template <class T, class F>
struct IntegerDivider {
  static constexpr uint32_t kLimit = sizeof(T) <= 2 ? 0x10000 : 0xffffffff;
  F divisor;
  explicit IntegerDivider(uint32_t d) : divisor(static_cast<F>(d < kLimit ? d : kLimit)) {}
  RHZ_REDUCE_INLINE T operator()(T x) const { return static_cast<T>(static_cast<F>(x) / divisor); }
};
template <class T>
struct Divider<T, false, 1> : IntegerDivider<T, float> {
  using IntegerDivider<T, float>::IntegerDivider;
};
template <class T>
struct Divider<T, false, 2> : IntegerDivider<T, float> {
  using IntegerDivider<T, float>::IntegerDivider;
};
template <class T>
struct Divider<T, false, 4> : IntegerDivider<T, double> {
  using IntegerDivider<T, double>::IntegerDivider;
};

}  // namespace
}  // namespace rhz::reduce
