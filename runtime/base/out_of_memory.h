// Where there is no memory and no way back: std::bad_alloc, thrown here and by the standard library only, and caught where a step began.
#pragma once

#include <new>
#include <utility>

namespace rhz {

// Of a peer that found none in the middle of a step: nothing could go on from there.
struct OutOfMemory final : std::bad_alloc {
  const char* what() const noexcept override {
    return "out of memory: this peer's part in the run is over; close its communicator (rhz_comm_close)";
  }
};

[[noreturn]] inline void out_of_memory() { throw OutOfMemory(); }

// False: the work ended half way, for want of memory.
template <class Work>
[[nodiscard]] bool had_memory(Work&& work) {
  try {
    std::forward<Work>(work)();
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

}  // namespace rhz
