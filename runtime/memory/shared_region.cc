#include "runtime/memory/shared_region.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace rhz {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

Status system_error(const char* what, int error) {
  return {Code::kIo, std::string(what) + ": " + std::generic_category().message(error)};
}

std::byte* map_shared(int fd, size_t size, int access = PROT_READ | PROT_WRITE) {
  void* data = mmap(nullptr, size, access, MAP_SHARED, fd, 0);
  return data == MAP_FAILED ? nullptr : static_cast<std::byte*>(data);
}

}  // namespace

Result<SharedRegion> SharedRegion::create(size_t size) {
  const int fd = memfd_create("rhizome", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return system_error("no shared memory (memfd_create)", errno);
  std::byte* data = nullptr;
  if (fallocate(fd, 0, 0, static_cast<off_t>(size)) == 0 && fcntl(fd, F_ADD_SEALS, kSeals) == 0)
    data = map_shared(fd, size);
  if (data) return SharedRegion(data, size, fd);
  const int error = errno;
  ::close(fd);
  return system_error("no shared memory", error);
}

size_t SharedRegion::sealed_size(int fd) {
  struct stat about {};
  const int seals = fcntl(fd, F_GET_SEALS);
  const bool sealed = seals >= 0 && (seals & F_SEAL_SHRINK) != 0 && fstat(fd, &about) == 0;
  return sealed ? static_cast<size_t>(about.st_size) : 0;
}

namespace {

Result<std::byte*> map_foreign(int fd, size_t size, bool fits, int access) {
  std::byte* data = fits ? map_shared(fd, size, access) : nullptr;
  const int error = errno;
  ::close(fd);
  if (!fits)
    return Status(Code::kCorrupt, "what a peer sent is no sealed memory of the right size");
  if (!data) return system_error("cannot map a peer's memory", error);
  return data;
}

}  // namespace

Result<SharedRegion> SharedRegion::map(int fd, size_t size) {
  auto data = map_foreign(fd, size, sealed_size(fd) == size, PROT_READ | PROT_WRITE);
  if (!data) return data.status();
  return SharedRegion(data.value(), size, -1);
}

Result<SharedRegion> SharedRegion::map_to_read(int fd) {
  const size_t size = sealed_size(fd);
  auto data = map_foreign(fd, size, size > 0, PROT_READ);
  if (!data) return data.status();
  return SharedRegion(data.value(), size, -1);
}

Result<SharedRegion> SharedRegion::adopt(int fd) {
  const size_t size = sealed_size(fd);
  std::byte* const data = size > 0 ? map_shared(fd, size) : nullptr;
  if (data) return SharedRegion(data, size, fd);
  const int error = errno;
  ::close(fd);
  if (size == 0) return Status(Code::kCorrupt, "this is no sealed memory");
  return system_error("cannot map memory again", error);
}

SharedRegion& SharedRegion::operator=(SharedRegion&& other) noexcept {
  reset();
  data_ = std::exchange(other.data_, nullptr);
  size_ = other.size_;
  fd_ = std::exchange(other.fd_, -1);
  return *this;
}

void SharedRegion::forget_fd() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void SharedRegion::reset() {
  if (data_) munmap(std::exchange(data_, nullptr), size_);
  forget_fd();
}

}  // namespace rhz
