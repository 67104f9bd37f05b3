// Little-endian numbers and raw bytes, one behind the other: for persisted formats and messages.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "runtime/base/assert.h"
#include "runtime/base/bytes.h"

namespace rhz {

class ByteWriter {
 public:
  explicit ByteWriter(size_t reserve) { out_.reserve(reserve); }
  template <class T>
  void number(T value) {
    raw(std::as_bytes(std::span(&value, 1)));
  }
  void raw(ConstBytes bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  std::vector<std::byte> take() { return std::move(out_); }

 private:
  std::vector<std::byte> out_;
};

// Reads from the front; the caller has checked left().
class ByteReader {
 public:
  explicit ByteReader(ConstBytes bytes) : bytes_(bytes) {}
  size_t left() const { return bytes_.size(); }
  template <class T>
  T number() {
    return load<T>(raw(sizeof(T)).data());
  }
  ConstBytes raw(size_t size) {
    RHZ_ASSERT("B1", size <= bytes_.size());
    const ConstBytes taken = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return taken;
  }

 private:
  ConstBytes bytes_;
};

}  // namespace rhz
