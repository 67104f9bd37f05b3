#include "runtime/transport/shm/region.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace rhz::shm {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

Status system_error(const char* what, int error) {
  return {Code::kIo, std::string(what) + ": " + std::generic_category().message(error)};
}

std::byte* map_shared(int fd, size_t size) {
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return data == MAP_FAILED ? nullptr : static_cast<std::byte*>(data);
}

}  // namespace

Result<Region> Region::create(size_t size) {
  const int fd = memfd_create("rhizome", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return system_error("no shared memory (memfd_create)", errno);
  std::byte* data = nullptr;
  if (fallocate(fd, 0, 0, static_cast<off_t>(size)) == 0 && fcntl(fd, F_ADD_SEALS, kSeals) == 0)
    data = map_shared(fd, size);
  if (data) return Region(data, size, fd);
  const int error = errno;
  ::close(fd);
  return system_error("no shared memory", error);
}

Result<Region> Region::map(int fd, size_t size) {
  struct stat about {};
  const int seals = fcntl(fd, F_GET_SEALS);
  const bool fits = seals >= 0 && (seals & F_SEAL_SHRINK) != 0 && fstat(fd, &about) == 0 &&
                    about.st_size == static_cast<off_t>(size);
  std::byte* data = fits ? map_shared(fd, size) : nullptr;
  const int error = errno;
  ::close(fd);
  if (!fits)
    return Status(Code::kCorrupt, "what a peer sent is no sealed memory of the right size");
  if (!data) return system_error("cannot map a peer's memory", error);
  return Region(data, size, -1);
}

Region& Region::operator=(Region&& other) noexcept {
  reset();
  data_ = std::exchange(other.data_, nullptr);
  size_ = other.size_;
  fd_ = std::exchange(other.fd_, -1);
  return *this;
}

void Region::forget_fd() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void Region::reset() {
  if (data_) munmap(std::exchange(data_, nullptr), size_);
  forget_fd();
}

}  // namespace rhz::shm
