#include "recovery/disk/file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include "runtime/base/prng.h"

namespace rhz::recovery {

Status io_error(const std::string& path, const std::string& doing) {
  return {Code::kIo, path + ": " + doing + ": " + std::generic_category().message(errno)};
}

Status File::failed(const std::string& doing) const { return io_error(path_, doing); }

Result<File> File::open(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return io_error(path, "open");
  return File(std::move(fd), path);
}

Result<File> File::create(const std::string& path) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd.valid()) return io_error(path, "create");
  return File(std::move(fd), path);
}

Result<uint64_t> File::size() const {
  struct stat info {};
  if (fstat(fd_.get(), &info) != 0) return failed("stat");
  return static_cast<uint64_t>(info.st_size);
}

Status File::read(MutableBytes out, uint64_t at) const {
  while (!out.empty()) {
    const ssize_t n = pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("read at byte " + std::to_string(at));
    if (n == 0) return {Code::kIo, path_ + ": it ends at byte " + std::to_string(at)};
    out = out.subspan(static_cast<size_t>(n));
    at += static_cast<uint64_t>(n);
  }
  return Status::ok();
}

Status File::write(ConstBytes bytes, uint64_t at) {
  while (!bytes.empty()) {
    const ssize_t n = pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("write at byte " + std::to_string(at));
    bytes = bytes.subspan(static_cast<size_t>(n));
    at += static_cast<uint64_t>(n);
  }
  return Status::ok();
}

void File::start_writeback(uint64_t at, uint64_t bytes) {
  (void)sync_file_range(fd_.get(), static_cast<off_t>(at), static_cast<off_t>(bytes),
                        SYNC_FILE_RANGE_WRITE);
}

Status File::sync() {
  if (fsync(fd_.get()) != 0) return failed("fsync");
  return Status::ok();
}

Status sync_folder(const std::string& folder) {
  const Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid() || fsync(fd.get()) != 0) return io_error(folder, "fsync of the folder");
  return Status::ok();
}

Status rename_durably(const std::string& folder, const std::string& from, const std::string& to) {
  if (std::rename((folder + "/" + from).c_str(), (folder + "/" + to).c_str()) != 0)
    return io_error(folder + "/" + from, "rename to " + to);
  return sync_folder(folder);
}

Status write_durably(const std::string& folder, const std::string& name, const std::string& text) {
  const std::string temporary = name + "." + std::to_string(random_u64()) + ".tmp";
  Result<File> file = File::create(folder + "/" + temporary);
  if (!file) return file.status();
  Status status = file.value().write(bytes_of(text.data(), text.size()), 0);
  if (status) status = file.value().sync();
  if (status) status = rename_durably(folder, temporary, name);
  if (!status) std::remove((folder + "/" + temporary).c_str());
  return status;
}

Result<std::string> read_text(const std::string& path, uint64_t most_bytes) {
  const Result<File> file = File::open(path);
  if (!file) return file.status();
  const Result<uint64_t> size = file.value().size();
  if (!size) return size.status();
  if (size.value() > most_bytes)
    return Status(Code::kCorrupt,
                  path + ": " + std::to_string(size.value()) + " bytes are too many for it");
  std::string text(size.value(), '\0');
  Status status = file.value().read(std::as_writable_bytes(std::span(text)), 0);
  if (!status) return status;
  return text;
}

}  // namespace rhz::recovery
