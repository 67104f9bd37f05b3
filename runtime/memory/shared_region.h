// Memory that two processes map: a memfd whose size is sealed, so that nobody can cut it off under
// the other.  Owns the mapping.
#pragma once

#include <cstddef>
#include <utility>

#include "runtime/base/status.h"

namespace rhz {

class SharedRegion {
 public:
  SharedRegion() = default;
  SharedRegion(SharedRegion&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(other.size_),
        fd_(std::exchange(other.fd_, -1)) {}
  SharedRegion& operator=(SharedRegion&& other) noexcept;
  ~SharedRegion() { reset(); }

  // Of zeros; all of it is there, so that no later access can fail for want of memory.
  [[nodiscard]] static Result<SharedRegion> create(size_t size);
  // What another process has created.  Takes the descriptor, and closes it.  kCorrupt: it is no
  // sealed memory of exactly this size.
  [[nodiscard]] static Result<SharedRegion> map(int fd, size_t size);

  // Of whatever size, to be read only.  Takes the descriptor, and closes it.
  [[nodiscard]] static Result<SharedRegion> map_to_read(int fd);

  // Of whatever size, to be used as if it had been created here.  Takes the descriptor, and keeps it.
  [[nodiscard]] static Result<SharedRegion> adopt(int fd);

  // The size of a memfd that nobody can cut off; 0: it is none.
  static size_t sealed_size(int fd);

  explicit operator bool() const { return data_ != nullptr; }
  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  int fd() const { return fd_; }  // of one that was created or adopted here, until forget_fd()
  void forget_fd();
  void reset();

 private:
  SharedRegion(std::byte* data, size_t size, int fd) : data_(data), size_(size), fd_(fd) {}

  std::byte* data_ = nullptr;
  size_t size_ = 0;
  int fd_ = -1;
};

}  // namespace rhz
