// Tensors of devices on their way into a buffer of the host's: two pieces at a time, so that the
// link never stands, and their digests beside that.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "recovery/state/state.h"

namespace rhz::recovery {

class DeviceFetch {
 public:
  // Begins to digest `bytes` bytes of a tensor from `from` on, at most kDigestedBytes, and waits
  // for the digests that were begun before.
  [[nodiscard]] Status digest(const Tensor& tensor, const std::byte* from, uint64_t bytes,
                              std::vector<Digest>* append);
  // Begins to copy at most kPieceBytes, and waits for the piece before the last one.
  [[nodiscard]] Status copy(const Tensor& tensor, const std::byte* from, MutableBytes into);
  // Waits for all.
  [[nodiscard]] Status drain();

 private:
  struct Flight {
    std::unique_ptr<StateMemory::Lane> lane;
    const void* place = nullptr;  // of the device that the lane is on
    bool begun = false;
  };
  // The lane for this tensor, with nothing on it any more.
  [[nodiscard]] Status clear(Flight& flight, const Tensor& tensor);
  [[nodiscard]] static Status land(Flight& flight);

  std::array<Flight, 2> copies_;
  size_t next_ = 0;  // which is the older one
  Flight digests_;
};

}  // namespace rhz::recovery
