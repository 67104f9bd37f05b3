// Element types and reductions, with the numbers of RHZ_DTYPE_* and RHZ_REDOP_* (rhizome.h), which
// also travel on the wire. Plain values: any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rhz::reduce {

enum class Dtype : uint8_t {
  i8 = 1,
  u8 = 2,
  i16 = 3,
  u16 = 4,
  i32 = 5,
  u32 = 6,
  i64 = 7,
  u64 = 8,
  f16 = 9,
  bf16 = 10,
  f32 = 11,
  f64 = 12,
};
inline constexpr size_t kDtypes = 12;

enum class RedOp : uint8_t {
  sum = 1,
  avg = 2,
  prod = 3,
  min = 4,
  max = 5,
  band = 6,
  bor = 7,
  bxor = 8,
};
inline constexpr size_t kRedOps = 8;

// Numbers from a caller or a peer; check them before casting.  0 (the default of RHZ_REDOP_*) is
// not valid here: the C API has resolved it to sum by then.
constexpr bool valid_dtype(uint32_t raw) { return raw >= 1 && raw <= kDtypes; }
constexpr bool valid_redop(uint32_t raw) { return raw >= 1 && raw <= kRedOps; }

constexpr bool is_float(Dtype dtype) { return dtype >= Dtype::f16; }
constexpr bool is_bitwise(RedOp redop) { return redop >= RedOp::band; }

// Whether the pair is defined: the bitwise reductions take integers only.
constexpr bool valid(Dtype dtype, RedOp redop) {
  return valid_dtype(static_cast<uint32_t>(dtype)) && valid_redop(static_cast<uint32_t>(redop)) &&
         !(is_float(dtype) && is_bitwise(redop));
}
constexpr bool valid(uint32_t raw_dtype, uint32_t raw_redop) {
  return valid_dtype(raw_dtype) && valid_redop(raw_redop) &&
         valid(static_cast<Dtype>(raw_dtype), static_cast<RedOp>(raw_redop));
}

// Bytes of one element; 0 for a number that is no dtype.
constexpr size_t size_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::i8:
    case Dtype::u8:
      return 1;
    case Dtype::i16:
    case Dtype::u16:
    case Dtype::f16:
    case Dtype::bf16:
      return 2;
    case Dtype::i32:
    case Dtype::u32:
    case Dtype::f32:
      return 4;
    case Dtype::i64:
    case Dtype::u64:
    case Dtype::f64:
      return 8;
  }
  return 0;
}

constexpr const char* name(Dtype dtype) {
  constexpr const char* kNames[] = {"i8",  "u8",  "i16", "u16",  "i32", "u32",
                                    "i64", "u64", "f16", "bf16", "f32", "f64"};
  return valid_dtype(static_cast<uint32_t>(dtype)) ? kNames[static_cast<size_t>(dtype) - 1] : "?";
}

constexpr const char* name(RedOp redop) {
  constexpr const char* kNames[] = {"sum", "avg", "prod", "min", "max", "band", "bor", "bxor"};
  return valid_redop(static_cast<uint32_t>(redop)) ? kNames[static_cast<size_t>(redop) - 1] : "?";
}

}  // namespace rhz::reduce
