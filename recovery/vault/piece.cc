#include "recovery/vault/piece.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "runtime/memory/shared_region.h"

namespace rhz::recovery {
namespace {

Status failed(Code code, const std::string& what) {
  return {code, what + ": " + std::generic_category().message(errno)};
}

}  // namespace

Result<Fd> make_piece(uint64_t bytes) {
  auto region = SharedRegion::create(bytes);
  if (!region) {
    return Status(Code::kMemory, "no shared memory of " + std::to_string(bytes) +
                                     " bytes: " + region.status().text());
  }
  return duplicate(region.value().fd());
}

Result<Fd> duplicate(int fd) {
  Fd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return failed(Code::kMemory, "no descriptor is left");
  return copy;
}

uint64_t piece_bytes(const Fd& piece) { return SharedRegion::sealed_size(piece.get()); }

// Reading and writing by system call: memory that is mapped anew costs a page fault for every 4
// KiB, which is more than the copy.
Status write_piece(const Fd& piece, uint64_t offset, ConstBytes bytes) {
  while (!bytes.empty()) {
    const ssize_t put =
        ::pwrite(piece.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return failed(Code::kIo, "cannot write to shared memory");
    bytes = bytes.subspan(static_cast<size_t>(put));
    offset += static_cast<uint64_t>(put);
  }
  return Status::ok();
}

Status read_piece(const Fd& piece, uint64_t offset, MutableBytes into) {
  while (!into.empty()) {
    const ssize_t got = ::pread(piece.get(), into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed(Code::kIo, "cannot read shared memory");
    if (got == 0)
      return Status(Code::kCorrupt, "a piece of shared memory is shorter than it should be");
    into = into.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  return Status::ok();
}

bool is_held_elsewhere(const Fd& piece) {
  struct stat what{};
  return fstat(piece.get(), &what) == 0 && S_ISSOCK(what.st_mode);
}

bool is_no_longer_held(const Fd& piece) {
  pollfd look{piece.get(), POLLHUP, 0};
  return is_held_elsewhere(piece) && ::poll(&look, 1, 0) > 0 && (look.revents & POLLHUP) != 0;
}

}  // namespace rhz::recovery
