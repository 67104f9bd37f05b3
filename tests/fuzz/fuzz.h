// What a fuzz target is: LLVMFuzzerTestOneInput as libFuzzer calls it, and seeds to begin with.  A target finds something by not
// returning: a failed assertion, a failed CHECK, a sanitizer's report.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "runtime/base/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace rhz::fuzz {

using Bytes = std::vector<std::byte>;

// Of the target.
std::vector<Bytes> seeds();

inline Bytes bytes_from(std::string_view text) {
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

#define RHZ_FUZZ_CHECK(what)                                                              \
  do {                                                                                    \
    if (!(what)) {                                                                        \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #what);      \
      std::abort();                                                                       \
    }                                                                                     \
  } while (false)

// An input that is read as a sequence of choices; past its end every choice is the first one.
class Tape {
 public:
  Tape(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool over() const { return at_ >= size_; }
  uint8_t byte() { return over() ? 0 : data_[at_++]; }
  uint64_t below(uint64_t bound) {
    uint64_t value = byte();
    if (bound > 256) value = value << 8 | byte();
    return value % bound;
  }
  bool flip() { return byte() & 1; }
  ConstBytes take(size_t most) {
    const size_t size = at_ + most <= size_ ? most : size_ - (over() ? size_ : at_);
    const ConstBytes taken(reinterpret_cast<const std::byte*>(data_) + (over() ? size_ : at_), size);
    at_ += size;
    return taken;
  }
  ConstBytes rest() { return take(size_ - (over() ? size_ : at_)); }

 private:
  const uint8_t* data_;
  size_t size_, at_ = 0;
};

}  // namespace rhz::fuzz
