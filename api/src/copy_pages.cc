#include "api/src/copy_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace rhz {
namespace {

// So little memory has its pages made in a moment, whoever makes them: at most 1.6 ms.
constexpr uint64_t kLittle = 256u << 10;
// Between two looks at who goes first; with the dearest pages that were seen, 6 ms.
constexpr uint64_t kPieceBytes = 1u << 20;

// All but one that begins before those bytes.
void make_pages(std::byte* memory, uint64_t bytes) {
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
#ifdef MADV_POPULATE_WRITE  // Linux 5.14
  const uint64_t before = (page - reinterpret_cast<uintptr_t>(memory) % page) % page;
  if (before >= bytes || ::madvise(memory + before, bytes - before, MADV_POPULATE_WRITE) == 0)
    return;
#endif
  for (uint64_t at = 0; at < bytes; at += page)
    *const_cast<volatile std::byte*>(memory + at) = std::byte{0};
}

}  // namespace

CopyPages::CopyPages(std::function<bool()> busy)
    : thread_("rhz-copy-pages", "pages are being made", std::move(busy)) {}

void CopyPages::begin(std::byte* memory, uint64_t bytes) {
  if (bytes < kLittle) return;
  enough_.store(false, std::memory_order_relaxed);
  // A thread that cannot be had makes nothing: the copy makes its pages itself then.
  (void)thread_.start([this, memory, bytes](Background::Pace& pace) -> Status {
    for (uint64_t at = 0; at < bytes; at += kPieceBytes) {
      if (Status go = pace.next(); !go) return go;
      if (enough_.load(std::memory_order_relaxed)) break;
      make_pages(memory + at, std::min(kPieceBytes, bytes - at));
    }
    return Status::ok();
  });
}

// Whoever waits makes the thread hurry: it is at its next look within a piece.
void CopyPages::end() {
  enough_.store(true, std::memory_order_relaxed);
  (void)thread_.wait(Duration::zero());
}

}  // namespace rhz
