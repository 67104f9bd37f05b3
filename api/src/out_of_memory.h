// What a peer ends by that found no memory in the middle of a step: nothing could go on from there.
#pragma once

#include <new>

namespace rhz {

struct OutOfMemory final : std::bad_alloc {
  const char* what() const noexcept override {
    return "out of memory: this peer's part in the run is over; close its communicator (rhz_comm_close)";
  }
};

}  // namespace rhz
