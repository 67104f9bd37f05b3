#include "recovery/disk/direct_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace rhz::recovery {

DirectFile::DirectFile(const std::string& path)
    : fd_(::open(path.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC)) {}

bool DirectFile::write(ConstBytes bytes, uint64_t at) {
  if (!fd_.valid()) return false;
  bool good = (reinterpret_cast<uintptr_t>(bytes.data()) | at | bytes.size()) % kUnit == 0;
  while (good && !bytes.empty()) {
    const ssize_t n = pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    good = n > 0;  // a disk may want more than a page, or be full
    if (!good) break;
    bytes = bytes.subspan(static_cast<size_t>(n));
    at += static_cast<uint64_t>(n);
  }
  if (!good) fd_ = Fd();
  return good;
}

}  // namespace rhz::recovery
