// Memory of whole pages for a large copy that is made and given back: huge pages where the system
// grants them on request, so that its first touch is not a fault for each 4 KiB, and the C library
// keeps none of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace rhz {

class Pages {
 public:
  Pages() = default;
  explicit Pages(uint64_t bytes);  // invalid: there are not so many
  ~Pages() { reset(); }
  Pages(Pages&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Pages& operator=(Pages&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  bool valid() const { return data_ != nullptr; }
  std::byte* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }
  // What is in them is not wanted any more: the system takes them back when it needs memory, and
  // until then they can be written again for nothing.
  void idle();
  void reset();

 private:
  std::byte* data_ = nullptr;
  uint64_t bytes_ = 0;
};

}  // namespace rhz
