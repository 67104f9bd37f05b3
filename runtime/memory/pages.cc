#include "runtime/memory/pages.h"

#include <sys/mman.h>

#include <algorithm>

namespace rhz {

Pages::Pages(uint64_t bytes) : bytes_(std::max<uint64_t>(bytes, 1)) {
  void* at = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return;
  (void)madvise(at, bytes_, MADV_HUGEPAGE);  // a wish
  data_ = static_cast<std::byte*>(at);
}

void Pages::idle() {
  if (valid()) (void)madvise(data_, bytes_, MADV_FREE);  // a wish, too
}

void Pages::reset() {
  if (valid()) munmap(data_, bytes_);
  data_ = nullptr;
}

}  // namespace rhz
