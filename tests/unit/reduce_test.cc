// The reduction kernels: the scalar ones against references that share no code with them, the
// vector ones against the scalar.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "collectives/reduce/half.h"
#include "collectives/reduce/kernels.h"

namespace rhz::reduce {
namespace {

using Bytes = std::vector<std::byte>;

// What the bits of a 16-bit float mean, from the definition of the format.  Only for numbers and
// infinities.
double decode(uint16_t bits, int mantissa_bits, int bias) {
  const int exponent = (bits & 0x7fff) >> mantissa_bits;
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const int exponent_max = (1 << (15 - mantissa_bits)) - 1;
  double value = exponent == exponent_max ? std::numeric_limits<double>::infinity()
                 : exponent == 0
                     ? std::ldexp(mantissa, 1 - bias - mantissa_bits)
                     : std::ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits);
  return (bits & 0x8000) != 0 ? -value : value;
}

struct HalfFormat {
  int mantissa_bits;
  int bias;
  uint16_t infinity;
  uint16_t nan;

  double decoded(uint16_t bits) const { return decode(bits, mantissa_bits, bias); }
  bool is_nan(uint16_t bits) const { return (bits & 0x7fff) > infinity; }

  // Rounds by search: the neighbours of |value| are consecutive bit patterns; the tie goes to the
  // even one.
  uint16_t encode(double value) const {
    if (std::isnan(value)) return nan;
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    const double magnitude = std::fabs(value);
    uint16_t low = 0;
    uint16_t high = infinity;  // taken as the power of two that would follow the largest number
    while (high - low > 1) {
      const auto middle = static_cast<uint16_t>((low + high) / 2);
      (decoded(middle) <= magnitude ? low : high) = middle;
    }
    const double above = high == infinity ? std::ldexp(1, bias + 1) : decoded(high);
    const double midpoint = (decoded(low) + above) / 2;
    const bool up = magnitude > midpoint || (magnitude == midpoint && (low & 1) != 0);
    return static_cast<uint16_t>((up ? high : low) | sign);
  }
};
constexpr HalfFormat kF16{10, 15, 0x7c00, kF16Nan};
constexpr HalfFormat kBf16{7, 127, 0x7f80, kBf16Nan};

template <class FromHalf, class ToHalf>
void check_half(const HalfFormat& format, FromHalf from_half, ToHalf to_half) {
  for (uint32_t raw = 0; raw <= 0xffff; ++raw) {
    const auto bits = static_cast<uint16_t>(raw);
    const float value = from_half(bits);
    if (format.is_nan(bits)) {
      ASSERT_EQ(bits_of(value), kF32Nan) << raw;
      ASSERT_EQ(to_half(value), format.nan) << raw;
      continue;
    }
    ASSERT_EQ(std::bit_cast<uint64_t>(double{value}),
              std::bit_cast<uint64_t>(format.decoded(bits)));
    ASSERT_EQ(to_half(value), bits) << raw;
    // Around the tie with the next pattern, which lies half a unit of the dropped bits away.
    const float next = from_half(static_cast<uint16_t>(bits + 1));
    const float middle = static_cast<float>((double{value} + double{next}) / 2);
    for (const float probe : {std::nextafter(middle, 0.0f), middle, std::nextafter(middle, next)})
      if (std::isfinite(probe)) {
        ASSERT_EQ(to_half(probe), format.encode(probe)) << raw;
      }
  }
}

TEST(Half, RoundTripsEveryF16AndRoundsTiesToEven) { check_half(kF16, f32_from_f16, f16_from_f32); }
TEST(Half, RoundTripsEveryBf16AndRoundsTiesToEven) {
  check_half(kBf16, f32_from_bf16, bf16_from_f32);
}

TEST(Half, OverflowsToInfinityAndKeepsNaNs) {
  for (const float value : {65519.0f, 65520.0f, 65536.0f, 1e9f, 3.4028235e38f, 1e-8f, 1e-45f}) {
    EXPECT_EQ(f16_from_f32(value), kF16.encode(value)) << value;
    EXPECT_EQ(f16_from_f32(-value), kF16.encode(-value)) << value;
    EXPECT_EQ(bf16_from_f32(value), kBf16.encode(value)) << value;
  }
  for (const uint32_t nan : {0x7f800001u, 0xff800001u, 0x7fffffffu, 0xffffffffu, 0x7fc12345u}) {
    EXPECT_EQ(f16_from_f32(f32_from_bits(nan)), kF16Nan);
    EXPECT_EQ(bf16_from_f32(f32_from_bits(nan)), kBf16Nan);
  }
}

template <Dtype dtype, class T>
struct Type {
  static constexpr Dtype kDtype = dtype;
  using Stored = T;
};

template <class Visit>
void for_each_type(Visit visit) {
  visit(Type<Dtype::i8, int8_t>{}), visit(Type<Dtype::u8, uint8_t>{});
  visit(Type<Dtype::i16, int16_t>{}), visit(Type<Dtype::u16, uint16_t>{});
  visit(Type<Dtype::i32, int32_t>{}), visit(Type<Dtype::u32, uint32_t>{});
  visit(Type<Dtype::i64, int64_t>{}), visit(Type<Dtype::u64, uint64_t>{});
  visit(Type<Dtype::f16, uint16_t>{}), visit(Type<Dtype::bf16, uint16_t>{});
  visit(Type<Dtype::f32, uint32_t>{}), visit(Type<Dtype::f64, uint64_t>{});
}

// Bit patterns of one dtype that trip up arithmetic.  In every type: the extremes and values next
// to them; as floats these are zeros, subnormals, numbers, infinities, quiet and signalling NaNs of
// either sign.
std::vector<uint64_t> adversarial(Dtype dtype) {
  const auto bits = static_cast<int>(8 * size_of(dtype));
  const uint64_t top = uint64_t{1} << (bits - 1);
  std::vector<uint64_t> values = {0,       1,   2,       3,     7,     100,  top - 1,
                                  top - 2, top, top + 1, ~0ull, ~1ull, ~6ull};
  if (is_float(dtype)) {
    const int mantissa = dtype == Dtype::f16 ? 10 : dtype == Dtype::bf16 ? 7 : bits == 32 ? 23 : 52;
    const uint64_t infinity = (top - 1) >> mantissa << mantissa;
    const uint64_t one = (infinity >> 1) & ~((uint64_t{1} << mantissa) - 1);
    const uint64_t smallest_normal = uint64_t{1} << mantissa;
    for (const uint64_t magnitude :
         {infinity, infinity - 1, infinity + 1, infinity + (smallest_normal >> 1), one, one + 1,
          one + smallest_normal, one - 1, one + one / 2, smallest_normal, smallest_normal - 1})
      values.insert(values.end(), {magnitude, magnitude | top});
  }
  return values;
}

// ---- An independent reference: integers in 128 bits, floats in a format so wide that rounding
// twice rounds right.

__extension__ typedef __int128 Int128;
__extension__ typedef unsigned __int128 Uint128;
#if defined(__SIZEOF_FLOAT128__)
using Float128 = __float128;
#else
using Float128 = long double;  // 128 bits on AArch64
#endif

template <Dtype dtype, class T>
T expected_integer(RedOp op, bool average, T a, T b, uint32_t divisor) {
  using Wide = std::conditional_t<std::is_signed_v<T>, Int128, Uint128>;
  const Wide x = a;
  const Wide y = b;
  switch (op) {
    case RedOp::sum:
      return static_cast<T>(x + y);
    case RedOp::avg:
      return average ? static_cast<T>(Wide{static_cast<T>(x + y)} / static_cast<Wide>(divisor))
                     : static_cast<T>(x + y);
    case RedOp::prod:
      return static_cast<T>(x * y);
    case RedOp::min:
      return std::min(a, b);
    case RedOp::max:
      return std::max(a, b);
    case RedOp::band:
      return static_cast<T>(x & y);
    case RedOp::bor:
      return static_cast<T>(x | y);
    case RedOp::bxor:
      return static_cast<T>(x ^ y);
  }
  return 0;
}

// Wide holds twice T's mantissa and two bits more.
template <class T, class Wide>
T expected_float(RedOp op, bool average, T a, T b, uint32_t divisor) {
  if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<T>::quiet_NaN();
  const auto less = [](T x, T y) {
    return x < y || (x == y && std::signbit(x) && !std::signbit(y));
  };
  if (op == RedOp::min) return less(b, a) ? b : a;
  if (op == RedOp::max) return less(a, b) ? b : a;
  if (op == RedOp::prod) return static_cast<T>(static_cast<Wide>(a) * static_cast<Wide>(b));
  const T sum = static_cast<T>(static_cast<Wide>(a) + static_cast<Wide>(b));
  if (!average || op != RedOp::avg) return sum;
  return static_cast<T>(static_cast<Wide>(sum) / static_cast<Wide>(static_cast<T>(divisor)));
}

template <Dtype dtype, class T>
T expected(RedOp op, bool average, T a, T b, uint32_t divisor) {
  if constexpr (dtype == Dtype::f16 || dtype == Dtype::bf16) {
    const HalfFormat& format = dtype == Dtype::f16 ? kF16 : kBf16;
    const auto decoded = [&](T bits) {
      return format.is_nan(bits) ? NAN : static_cast<float>(format.decoded(bits));
    };
    return format.encode(
        expected_float<float, double>(op, average, decoded(a), decoded(b), divisor));
  } else if constexpr (dtype == Dtype::f32) {
    const auto value = expected_float<float, double>(op, average, std::bit_cast<float>(a),
                                                     std::bit_cast<float>(b), divisor);
    return std::isnan(value) ? kF32Nan : std::bit_cast<T>(value);
  } else if constexpr (dtype == Dtype::f64) {
    const auto value = expected_float<double, Float128>(op, average, std::bit_cast<double>(a),
                                                        std::bit_cast<double>(b), divisor);
    return std::isnan(value) ? kF64Nan : std::bit_cast<T>(value);
  } else {
    return expected_integer<dtype, T>(op, average, a, b, divisor);
  }
}

template <Dtype dtype, class T>
void check_against_reference(RedOp op) {
  std::mt19937_64 random(static_cast<uint64_t>(dtype) * 100 + static_cast<uint64_t>(op));
  std::vector<T> a;
  std::vector<T> b;
  for (const uint64_t x : adversarial(dtype))
    for (const uint64_t y : adversarial(dtype))
      a.push_back(static_cast<T>(x)), b.push_back(static_cast<T>(y));
  for (int i = 0; i < 2000; ++i)
    a.push_back(static_cast<T>(random())), b.push_back(static_cast<T>(random()));
  const Kernels& kernels = kernels_for(dtype, op, Isa::scalar);
  const auto in = [](const std::vector<T>& v) {
    return reinterpret_cast<const std::byte*>(v.data());
  };
  std::vector<T> out(a.size());
  auto* const to = reinterpret_cast<std::byte*>(out.data());
  for (const uint32_t divisor :
       {1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 9u, 128u, 65535u, 65537u, 0x80000000u, ~0u}) {
    kernels.combine(to, in(a), in(b), a.size(), divisor);
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_EQ(out[i], (expected<dtype, T>(op, false, a[i], b[i], divisor)))
          << +a[i] << " " << +b[i];
    kernels.finish(to, in(a), in(b), a.size(), divisor);
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_EQ(out[i], (expected<dtype, T>(op, true, a[i], b[i], divisor)))
          << +a[i] << " " << +b[i] << " / " << divisor;
    // Dividing alone is the average with the sum's neutral element: -0 for floats.
    const T zero = is_float(dtype) ? static_cast<T>(uint64_t{1} << (8 * sizeof(T) - 1)) : T{0};
    kernels.scale(to, in(a), nullptr, a.size(), divisor);
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_EQ(out[i],
                (expected<dtype, T>(op == RedOp::avg ? op : RedOp::sum, true, a[i], zero, divisor)))
          << +a[i] << " / " << divisor;
  }
}

template <class Check>
void for_each_kernel(Check check) {
  for_each_type([&](auto type) {
    for (uint32_t raw = 1; raw <= kRedOps; ++raw) {
      const auto op = static_cast<RedOp>(raw);
      if (!valid(type.kDtype, op)) continue;
      SCOPED_TRACE(std::string(name(type.kDtype)) + " " + name(op));
      check(type, op);
    }
  });
}

TEST(ReduceKernels, GiveTheReferenceResultsForExtremesAndRandomValues) {
  for_each_kernel([](auto type, RedOp op) {
    check_against_reference<type.kDtype, typename decltype(type)::Stored>(op);
  });
}

// ---- The instruction sets against each other, at every length up to two long vectors and past a
// block of f16.

struct Inputs {
  Bytes a;
  Bytes b;
};

Inputs make_inputs(Dtype dtype, size_t count, std::mt19937_64& random) {
  const std::vector<uint64_t> values = adversarial(dtype);
  Inputs inputs;
  for (Bytes* bytes : {&inputs.a, &inputs.b}) {
    bytes->resize(count * size_of(dtype));
    for (size_t i = 0; i < count; ++i) {
      const uint64_t value = random() % 2 == 0 ? values[random() % values.size()] : random();
      std::memcpy(bytes->data() + i * size_of(dtype), &value, size_of(dtype));
    }
  }
  return inputs;
}

enum class Place { third_buffer, over_a, over_b };

// Runs a kernel on copies at `offset` bytes past aligned addresses.  The exact allocations let a
// sanitizer see any overrun.
Bytes run(Kernel kernel, const Inputs& in, Place place, size_t offset, size_t count,
          uint32_t divisor) {
  const auto moved = [offset](const Bytes& from) {
    Bytes to(offset);
    to.insert(to.end(), from.begin(), from.end());
    to.shrink_to_fit();
    return to;
  };
  Bytes a = moved(in.a);
  Bytes b = moved(in.b);
  Bytes out(in.a.size() + offset);
  Bytes& target = place == Place::over_a ? a : place == Place::over_b ? b : out;
  kernel(target.data() + offset, a.data() + offset, b.data() + offset, count, divisor);
  return Bytes(target.begin() + static_cast<std::ptrdiff_t>(offset), target.end());
}

void check_isa(Isa isa) {
  if (!supported(isa)) GTEST_SKIP() << isa_name(isa) << " is not available here";
  for_each_kernel([isa](auto type, RedOp op) {
    std::mt19937_64 random(7);
    const Kernels& reference = kernels_for(type.kDtype, op, Isa::scalar);
    const Kernels& kernels = kernels_for(type.kDtype, op, isa);
    std::vector<size_t> counts(131);
    for (size_t i = 0; i < counts.size(); ++i) counts[i] = i;
    counts.insert(counts.end(), {255, 256, 257, 1000, 4099});
    for (const size_t count : counts) {
      const Inputs inputs = make_inputs(type.kDtype, count, random);
      const auto divisor = static_cast<uint32_t>(1 + count % 9);
      for (const auto member : {&Kernels::combine, &Kernels::finish, &Kernels::scale}) {
        const Bytes expected =
            run(reference.*member, inputs, Place::third_buffer, 0, count, divisor);
        for (const Place place : {Place::third_buffer, Place::over_a, Place::over_b})
          for (const size_t offset : {size_t{0}, 1 + count % 7})
            ASSERT_EQ(run(kernels.*member, inputs, place, offset, count, divisor), expected)
                << "count=" << count << " place=" << static_cast<int>(place)
                << " offset=" << offset;
      }
    }
  });
}

TEST(ReduceKernels, OfScalarAllowInPlaceAndUnalignedBuffers) { check_isa(Isa::scalar); }
TEST(ReduceKernels, OfAvx2GiveTheBitsOfTheScalarOnes) { check_isa(Isa::avx2); }
TEST(ReduceKernels, OfAvx512GiveTheBitsOfTheScalarOnes) { check_isa(Isa::avx512); }

template <class T>
T finish_one(Isa isa, Dtype dtype, RedOp op, T a, T b, uint32_t divisor) {
  T out{};
  kernels_for(dtype, op, isa)
      .finish(reinterpret_cast<std::byte*>(&out), reinterpret_cast<const std::byte*>(&a),
              reinterpret_cast<const std::byte*>(&b), 1, divisor);
  return out;
}

TEST(ReduceKernels, DocumentedCornersHoldOnEveryIsa) {
  for (const Isa isa : kIsas) {
    if (!supported(isa)) continue;
    constexpr auto kLeast = std::numeric_limits<int32_t>::min();
    EXPECT_EQ(finish_one(isa, Dtype::i32, RedOp::sum, kLeast, -1, 1),
              std::numeric_limits<int32_t>::max());
    EXPECT_EQ(finish_one(isa, Dtype::i32, RedOp::avg, kLeast, 0, 1), kLeast);
    EXPECT_EQ(finish_one(isa, Dtype::i32, RedOp::avg, -7, 0, 2), -3) << "truncation is toward zero";
    EXPECT_EQ(finish_one<int8_t>(isa, Dtype::i8, RedOp::avg, 100, 100, 2), -28)
        << "the sum wraps first";
    EXPECT_TRUE(std::signbit(finish_one(isa, Dtype::f32, RedOp::min, 0.0f, -0.0f, 1)));
    EXPECT_FALSE(std::signbit(finish_one(isa, Dtype::f32, RedOp::max, -0.0f, 0.0f, 1)));
    EXPECT_EQ(bits_of(finish_one(isa, Dtype::f32, RedOp::prod, INFINITY, 0.0f, 1)), kF32Nan);
    EXPECT_EQ(finish_one(isa, Dtype::f32, RedOp::sum, 1e-45f, 0.0f, 1), 1e-45f)
        << "no flush to zero";
  }
}

TEST(ReduceTypes, OnlyDefinedPairsAreValid) {
  EXPECT_TRUE(valid(Dtype::i8, RedOp::band));
  EXPECT_FALSE(valid(Dtype::f16, RedOp::band));
  EXPECT_TRUE(valid(12u, 5u));
  for (const uint32_t raw : {0u, 13u, 257u, ~0u}) EXPECT_FALSE(valid(raw, 1u)) << raw;
  for (const uint32_t raw : {0u, 9u, 257u, ~0u}) EXPECT_FALSE(valid(1u, raw)) << raw;
}

}  // namespace
}  // namespace rhz::reduce
