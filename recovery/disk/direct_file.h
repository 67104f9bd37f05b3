// A file that is open already, written past the page cache (O_DIRECT): what is not read again costs
// no pages, no copy into them, and nobody's work to write them back.  Blocking; one thread at a
// time.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/base/bytes.h"
#include "runtime/base/fd.h"

namespace rhz::recovery {

class DirectFile {
 public:
  // What disks want of memory, place and length: a page, and a multiple of every block size.
  static constexpr size_t kUnit = 4096;

  DirectFile() = default;  // writes nothing
  // Some file systems refuse it: then it writes nothing.
  explicit DirectFile(const std::string& path);

  // False: that is not on the disk, nor is anything later; write it the usual way, which also tells
  // what is wrong, if anything is.
  [[nodiscard]] bool write(ConstBytes bytes, uint64_t at);

 private:
  Fd fd_;
};

}  // namespace rhz::recovery
