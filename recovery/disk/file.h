// Reading and writing files with errors that name the file.  Blocking system calls; one thread at a
// time.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/base/bytes.h"
#include "runtime/base/fd.h"
#include "runtime/base/status.h"

namespace rhz::recovery {

class File {
 public:
  File() = default;
  // Errors of all functions: kIo, with the path and the system's reason.
  [[nodiscard]] static Result<File> open(const std::string& path);  // to read
  [[nodiscard]] static Result<File> create(
      const std::string& path);  // to write; an old one is emptied

  [[nodiscard]] Result<uint64_t> size() const;
  // All of `out`: a file that ends before is an error.
  [[nodiscard]] Status read(MutableBytes out, uint64_t at) const;
  [[nodiscard]] Status write(ConstBytes bytes, uint64_t at);
  // Asks the system to begin writing [at, at + bytes) back, so that sync() is short.  A hint:
  // errors show in sync().
  void start_writeback(uint64_t at, uint64_t bytes);
  [[nodiscard]] Status
  sync();  // durable when it returns; after an error what the disk holds is unknown
  const std::string& path() const { return path_; }

 private:
  File(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  Status failed(const std::string& doing) const;

  Fd fd_;
  std::string path_;
};

// rename, then fsync of `folder`: after it the new name is there for good.
[[nodiscard]] Status rename_durably(const std::string& folder, const std::string& from,
                                    const std::string& to);
[[nodiscard]] Status sync_folder(const std::string& folder);
// A whole small file: `text` under that name for good, or nothing of it.  Several processes may
// write the same name at once; the last one's stays.
[[nodiscard]] Status write_durably(const std::string& folder, const std::string& name,
                                   const std::string& text);
// kCorrupt: it is longer than `most_bytes`.
[[nodiscard]] Result<std::string> read_text(const std::string& path, uint64_t most_bytes);
// From errno.
Status io_error(const std::string& path, const std::string& doing);

}  // namespace rhz::recovery
