// Little-endian loads and stores, and views of bytes.
#pragma once

#include <bit>
#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>

namespace rhz {

static_assert(std::endian::native == std::endian::little, "wire and log are little-endian");

using ConstBytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

template <class T>
T load(const std::byte* from) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class T>
void store(std::byte* to, T value) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(to, &value, sizeof value);
}

inline ConstBytes bytes_of(const void* data, size_t size) {
  return {static_cast<const std::byte*>(data), size};
}

}  // namespace rhz
