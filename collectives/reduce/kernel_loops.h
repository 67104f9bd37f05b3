// The loops over element_ops.h and the table of them.  Each kernels_<isa>.cc defines
// RHZ_REDUCE_ISA, the namespace of its table, and includes this once; CMakeLists.txt compiles it
// with the flags of that instruction set and with -O3, on which the vectorisation rests, and
// -ffp-contract=off, on which equal bits rest.
//
// No std:: function may be called here (see half.h); nm shows no weak symbol in these objects.
#pragma once

#include "collectives/reduce/element_ops.h"
#include "collectives/reduce/kernel_table.h"
#include "runtime/base/assert.h"

#if defined(__F16C__)
#include <immintrin.h>
#endif

// `out` may equal an input, but then only with equal indices: no iteration reads what another one
// wrote.
#if defined(__clang__)
#define RHZ_REDUCE_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define RHZ_REDUCE_INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace rhz::reduce {
namespace {

// An element at any address, of whatever type the application declared there.
template <class T>
struct [[gnu::packed, gnu::may_alias]] Loose {
  T value;
};
template <class T>
RHZ_REDUCE_INLINE T load(const std::byte* from, size_t i) {
  return reinterpret_cast<const Loose<T>*>(from)[i].value;
}
template <class T>
RHZ_REDUCE_INLINE void store(std::byte* to, size_t i, T value) {
  reinterpret_cast<Loose<T>*>(to)[i].value = value;
}

template <Dtype dtype>
using DividerOf = Divider<typename Element<dtype>::Value, is_float(dtype)>;

// out = narrow(a op b), or narrow((a op b) / divisor).
template <Dtype dtype, RedOp op, bool average>
void binary(std::byte* out, const std::byte* a, const std::byte* b, size_t count,
            [[maybe_unused]] uint32_t divisor) {
  using E = Element<dtype>;
  using Stored = typename E::Stored;
  if constexpr (average) RHZ_ASSERT("", divisor > 0);
  [[maybe_unused]] const DividerOf<dtype> divide(divisor);
  RHZ_REDUCE_INDEPENDENT
  for (size_t i = 0; i < count; ++i) {
    const auto x = E::widen(load<Stored>(a, i));
    const auto y = E::widen(load<Stored>(b, i));
    if constexpr (!is_float(dtype) && average)
      store(out, i, E::narrow(divide(apply_integer<op>(x, y))));
    else if constexpr (!is_float(dtype))
      store(out, i, E::narrow(apply_integer<op>(x, y)));
    else if constexpr (average)
      store(out, i, E::narrow(divide(apply_float<op>(x, y))));
    else
      store(out, i, E::narrow(apply_float<op>(x, y)));
  }
}

// out = narrow(a), or narrow(a / divisor).
template <Dtype dtype, bool average>
void unary(std::byte* out, const std::byte* a, const std::byte* /*b*/, size_t count,
           [[maybe_unused]] uint32_t divisor) {
  using E = Element<dtype>;
  using Stored = typename E::Stored;
  if constexpr (average) RHZ_ASSERT("", divisor > 0);
  [[maybe_unused]] const DividerOf<dtype> divide(divisor);
  RHZ_REDUCE_INDEPENDENT
  for (size_t i = 0; i < count; ++i) {
    const auto x = E::widen(load<Stored>(a, i));
    if constexpr (average)
      store(out, i, E::narrow(divide(x)));
    else
      store(out, i, E::narrow(x));
  }
}

// f16 goes through f32 in blocks: in one loop with the arithmetic the compiler does not vectorise
// its conversions.  With F16C a block is one vector register (the arrays below never reach memory),
// else a few lines of L1.  The instructions agree with half.h but for NaNs, which
// Element<f32>::narrow makes canonical in between.
#if defined(__AVX512F__)
constexpr size_t kF16Block = 16;
// The forms without a mask make GCC 12 warn of its own header; they compile to the same
// instruction.
constexpr __mmask16 kAllLanes = 0xffff;
[[gnu::always_inline]] inline void widen_f16(float* to, const std::byte* from) {
  _mm512_store_ps(to, _mm512_maskz_cvtph_ps(
                          kAllLanes, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))));
}
[[gnu::always_inline]] inline void narrow_f16(std::byte* to, const float* from) {
  _mm256_storeu_si256(
      reinterpret_cast<__m256i*>(to),
      _mm512_maskz_cvtps_ph(kAllLanes, _mm512_load_ps(from), _MM_FROUND_TO_NEAREST_INT));
}
#elif defined(__F16C__)
constexpr size_t kF16Block = 8;
[[gnu::always_inline]] inline void widen_f16(float* to, const std::byte* from) {
  _mm256_store_ps(to, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
}
[[gnu::always_inline]] inline void narrow_f16(std::byte* to, const float* from) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                   _mm256_cvtps_ph(_mm256_load_ps(from), _MM_FROUND_TO_NEAREST_INT));
}
#else
constexpr size_t kF16Block = 64;
[[gnu::always_inline]] inline void widen_f16(float* to, const std::byte* from) {
  for (size_t i = 0; i < kF16Block; ++i) to[i] = f32_from_f16(load<uint16_t>(from, i));
}
[[gnu::always_inline]] inline void narrow_f16(std::byte* to, const float* from) {
  RHZ_REDUCE_INDEPENDENT
  for (size_t i = 0; i < kF16Block; ++i) store(to, i, f16_from_f32(from[i]));
}
#endif

template <RedOp op, bool average>
void binary_f16(std::byte* out, const std::byte* a, const std::byte* b, size_t count,
                uint32_t divisor) {
  if constexpr (average) RHZ_ASSERT("", divisor > 0);
  using E = Element<Dtype::f32>;
  const DividerOf<Dtype::f32> divide(divisor);
  alignas(64) float x[kF16Block];
  alignas(64) float y[kF16Block];
  size_t done = 0;
  for (; done + kF16Block <= count; done += kF16Block) {
    widen_f16(x, a + 2 * done);
    widen_f16(y, b + 2 * done);
    for (size_t i = 0; i < kF16Block; ++i) {
      const float value = apply_float<op>(x[i], y[i]);
      x[i] = E::narrow(average ? divide(value) : value);
    }
    narrow_f16(out + 2 * done, x);
  }
  binary<Dtype::f16, op, average>(out + 2 * done, a + 2 * done, b + 2 * done, count - done,
                                  divisor);
}

// bf16 goes two elements to a 32-bit lane, which spares the compiler the packing and unpacking: the
// upper one is an f32 once the lower one is masked off, the lower one once it is shifted up.
template <RedOp op, bool average>
void binary_bf16(std::byte* out, const std::byte* a, const std::byte* b, size_t count,
                 uint32_t divisor) {
  if constexpr (average) RHZ_ASSERT("", divisor > 0);
  constexpr uint32_t kUpper = 0xffff0000;
  const DividerOf<Dtype::f32> divide(divisor);
  const size_t pairs = count / 2;
  RHZ_REDUCE_INDEPENDENT
  for (size_t i = 0; i < pairs; ++i) {
    const uint32_t x = load<uint32_t>(a, i);
    const uint32_t y = load<uint32_t>(b, i);
    const float upper = apply_float<op>(f32_from_bits(x & kUpper), f32_from_bits(y & kUpper));
    const float lower = apply_float<op>(f32_from_bits(x << 16), f32_from_bits(y << 16));
    const uint32_t upper_bits = bf16_in_upper_half(average ? divide(upper) : upper);
    const uint32_t lower_bits = bf16_in_upper_half(average ? divide(lower) : lower);
    store(out, i, (upper_bits & kUpper) | (lower_bits >> 16));
  }
  binary<Dtype::bf16, op, average>(out + 4 * pairs, a + 4 * pairs, b + 4 * pairs, count % 2,
                                   divisor);
}

template <Dtype dtype, RedOp op>
constexpr Kernels make_kernels() {
  constexpr bool kAverage = op == RedOp::avg;
  constexpr RedOp kOp = kAverage ? RedOp::sum : op;
  if constexpr (dtype == Dtype::f16)
    return {binary_f16<kOp, false>, binary_f16<kOp, kAverage>, unary<dtype, kAverage>};
  else if constexpr (dtype == Dtype::bf16)
    return {binary_bf16<kOp, false>, binary_bf16<kOp, kAverage>, unary<dtype, kAverage>};
  else
    return {binary<dtype, kOp, false>, binary<dtype, kOp, kAverage>, unary<dtype, kAverage>};
}

template <Dtype dtype>
constexpr void fill_row(KernelTable& table) {
  Kernels* const row = table.rows[static_cast<size_t>(dtype) - 1];
  row[0] = make_kernels<dtype, RedOp::sum>();
  row[1] = make_kernels<dtype, RedOp::avg>();
  row[2] = make_kernels<dtype, RedOp::prod>();
  row[3] = make_kernels<dtype, RedOp::min>();
  row[4] = make_kernels<dtype, RedOp::max>();
  if constexpr (!is_float(dtype)) {
    row[5] = make_kernels<dtype, RedOp::band>();
    row[6] = make_kernels<dtype, RedOp::bor>();
    row[7] = make_kernels<dtype, RedOp::bxor>();
  }
}

constexpr KernelTable make_table() {
  KernelTable table{};
  fill_row<Dtype::i8>(table);
  fill_row<Dtype::u8>(table);
  fill_row<Dtype::i16>(table);
  fill_row<Dtype::u16>(table);
  fill_row<Dtype::i32>(table);
  fill_row<Dtype::u32>(table);
  fill_row<Dtype::i64>(table);
  fill_row<Dtype::u64>(table);
  fill_row<Dtype::f16>(table);
  fill_row<Dtype::bf16>(table);
  fill_row<Dtype::f32>(table);
  fill_row<Dtype::f64>(table);
  return table;
}

}  // namespace

namespace RHZ_REDUCE_ISA {
constinit const KernelTable kTable = make_table();
}

}  // namespace rhz::reduce
