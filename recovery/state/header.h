// The page that tells whether a state is whole, and which revision it is: for whoever finds the
// memory when its process is gone.  It lies in shared memory when a vault holds the state too, else
// in the process.  Persisted format (docs/recovery.md).
//
// Written by the trainer alone, one thread at a time, with plain stores in an order in which every
// prefix tells the truth: a process that is killed leaves what it had stored, and nothing behind
// that.  Whoever reads it does so after the writer's end, or takes what it reads as a hint.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/base/types.h"

namespace rhz::recovery {

struct StateHeader {
  static constexpr uint64_t kMagic = 0x3174732d7a6872;  // "rhz-st1"

  uint64_t magic = kMagic;
  uint64_t table_bytes = 0;        // of the table of tensors behind the page, where there is one
  std::atomic<uint64_t> phase{0};  // even: whole; odd: inside an update
  std::atomic<uint64_t> committed{1};  // the phase at the newest commit; 1: none
  std::atomic<uint64_t> revision{0};   // of that commit
  std::atomic<uint64_t> marked{0};     // 1: the program marks its updates
  std::atomic<uint64_t> digested{1};   // the phase whose root `root` is; 1: none
  Digest root{};
  uint64_t device_pieces = 0;  // how many pieces, the last ones, are memory of a device …
  uint64_t device_bytes = 0;   // … and of how many bytes, all of them together

  bool open() const { return phase.load(std::memory_order_relaxed) % 2 != 0; }
  // Where the other one is already the case, nothing happens.
  void begin_update() { step_to(true); }
  void end_update() { step_to(false); }
  // While whole: the bytes are this revision's.
  void commit(uint64_t number) {
    revision.store(number, std::memory_order_release);
    committed.store(phase.load(std::memory_order_relaxed), std::memory_order_release);
  }
  // While whole: the root digest of the bytes as they are.
  void note_root(const Digest& digest) {
    digested.store(1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    root = digest;
    digested.store(phase.load(std::memory_order_relaxed), std::memory_order_release);
  }
  bool has_root() const { return digested.load(std::memory_order_acquire) == phase.load(); }

  enum class Verdict : uint8_t {
    kWhole,
    kOpen,         // inside an update
    kUncommitted,  // an update ended, and no commit said of which revision
    kNoRevision,
    kUnmarked,  // nobody said when it was whole
  };
  Verdict verdict() const {
    const uint64_t at = phase.load(std::memory_order_acquire);
    if (at % 2 != 0) return Verdict::kOpen;
    if (committed.load(std::memory_order_acquire) == 1 || revision.load() == 0)
      return Verdict::kNoRevision;
    if (committed.load() != at) return Verdict::kUncommitted;
    return marked.load() == 1 ? Verdict::kWhole : Verdict::kUnmarked;
  }

  // The same words in another page.
  void copy_from(const StateHeader& other) {
    phase.store(other.phase.load());
    committed.store(other.committed.load());
    revision.store(other.revision.load());
    marked.store(other.marked.load());
    digested.store(other.digested.load());
    root = other.root;
  }

 private:
  // Stores before it stay before it, those behind it behind it, for the kernel that ends this
  // process too.
  void step_to(bool to_open) {
    const uint64_t at = phase.load(std::memory_order_relaxed);
    if ((at % 2 != 0) == to_open) return;
    std::atomic_thread_fence(std::memory_order_seq_cst);
    phase.store(at + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
};

inline constexpr uint64_t kStateHeaderBytes = 4096;  // its page; the table begins behind it
static_assert(sizeof(StateHeader) <= kStateHeaderBytes);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

}  // namespace rhz::recovery
