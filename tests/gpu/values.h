// Small whole numbers, which every type holds exactly, and so do their sums.
#pragma once

#include <rhizome/rhizome.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace rhz::gpu {

struct Type {
  uint32_t dtype;
  const char* name;
  size_t bytes;
};
inline constexpr Type kTypes[] = {
    {RHZ_DTYPE_I8, "i8", 1},     {RHZ_DTYPE_U8, "u8", 1},   {RHZ_DTYPE_I16, "i16", 2},
    {RHZ_DTYPE_U16, "u16", 2},   {RHZ_DTYPE_I32, "i32", 4}, {RHZ_DTYPE_U32, "u32", 4},
    {RHZ_DTYPE_I64, "i64", 8},   {RHZ_DTYPE_U64, "u64", 8}, {RHZ_DTYPE_F16, "f16", 2},
    {RHZ_DTYPE_BF16, "bf16", 2}, {RHZ_DTYPE_F32, "f32", 4}, {RHZ_DTYPE_F64, "f64", 8}};
inline constexpr const Type& kF32 = kTypes[10];

// What rank `rank` puts at `i` of the op with this salt: 0 … 7.
inline int value(uint32_t rank, uint64_t i, uint32_t salt) {
  return static_cast<int>((i * 5 + rank * 3 + salt + (i >> 9)) % 8);
}

inline uint16_t half_of(int n) {  // n < 2048
  if (n == 0) return 0;
  const int e = std::ilogb(n);
  return static_cast<uint16_t>((e + 15) << 10 | ((n << (10 - e)) & 0x3ff));
}

inline void store(const Type& type, std::byte* at, int n) {
  const auto put = [&](auto x) { std::memcpy(at, &x, sizeof x); };
  switch (type.dtype) {
    case RHZ_DTYPE_F16: return put(half_of(n));
    case RHZ_DTYPE_BF16: {
      const float f = static_cast<float>(n);
      uint32_t bits;
      std::memcpy(&bits, &f, 4);
      return put(static_cast<uint16_t>(bits >> 16));
    }
    case RHZ_DTYPE_F32: return put(static_cast<float>(n));
    case RHZ_DTYPE_F64: return put(static_cast<double>(n));
    default: break;
  }
  const int64_t whole = n;
  std::memcpy(at, &whole, type.bytes);
}

}  // namespace rhz::gpu
