// Structs that cross the C API: they carry their size, and only grow at the end (as Linux's copy_struct_from_user does it).
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "api/src/guard.h"

namespace rhz::api {

// A copy with everything the caller did not know as zero.  kAbi when the caller uses fields that this library does not know.
template <class T>
[[nodiscard]] Status read_struct(const T* in, const char* name, T& out) {
  if (!in) return Status(Code::kArgument, std::string(name) + " is NULL");
  size_t size = 0;
  std::memcpy(&size, in, sizeof size);
  if (size < sizeof size)
    return Status(Code::kAbi, std::string(name) + ".struct_size is not set; set it to sizeof(" + name + ")");
  const auto* bytes = reinterpret_cast<const unsigned char*>(in);
  for (size_t i = sizeof(T); i < size; ++i) {
    if (bytes[i] == 0) continue;
    return Status(Code::kAbi, std::string(name) + " has fields that this library does not know; "
                                                  "use a newer librhizome");
  }
  out = T{};
  std::memcpy(&out, in, std::min(size, sizeof(T)));
  out.struct_size = sizeof(T);
  return Status::ok();
}

// Fills as much of the caller's struct as it has; what this library does not know becomes zero.
template <class T>
[[nodiscard]] Status write_struct(const T& value, const char* name, T* out) {
  if (!out) return Status(Code::kArgument, std::string(name) + " is NULL");
  size_t size = 0;
  std::memcpy(&size, out, sizeof size);
  if (size < sizeof size)
    return Status(Code::kAbi, std::string(name) + ".struct_size is not set; set it to sizeof(" + name + ")");
  auto* bytes = reinterpret_cast<unsigned char*>(out);
  const size_t known = std::min(size, sizeof(T));
  std::memcpy(bytes + sizeof size, reinterpret_cast<const unsigned char*>(&value) + sizeof size,
              known - sizeof size);
  if (size > sizeof(T)) std::memset(bytes + sizeof(T), 0, size - sizeof(T));
  return Status::ok();
}

// A struct that may be left out.
template <class T>
[[nodiscard]] Status read_optional(const T* in, const char* name, T& out) {
  out = T{};
  return in ? read_struct(in, name, out) : Status::ok();
}

// The caller's array of structs, whose elements have the size that the caller knows.
template <class T>
class StructArray {
 public:
  // `name`: of the array, for texts.  kAbi: elements of different sizes.
  [[nodiscard]] Status open(T* first, size_t count, const char* name) {
    first_ = reinterpret_cast<Byte*>(first);
    std::memcpy(&stride_, first_, sizeof stride_);
    if (stride_ < sizeof stride_)
      return {Code::kAbi, std::string(name) + "[0].struct_size is not set"};
    for (size_t i = 1; i < count; ++i) {
      size_t size = 0;
      std::memcpy(&size, first_ + i * stride_, sizeof size);
      if (size != stride_)
        return {Code::kAbi, std::string("all elements of ") + name + " have the same struct_size"};
    }
    return Status::ok();
  }
  T* at(size_t i) const { return reinterpret_cast<T*>(first_ + i * stride_); }

 private:
  using Byte = std::conditional_t<std::is_const_v<T>, const char, char>;
  Byte* first_ = nullptr;
  size_t stride_ = 0;
};

}  // namespace rhz::api
