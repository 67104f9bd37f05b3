// Pieces of tensors on devices on their way into a buffer of the host's: two at a time, so that
// the link between them never stands.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "recovery/state/state.h"

namespace rhz::recovery {

class DeviceFetch {
 public:
  static constexpr uint64_t kPieceBytes = StateMemory::kPieceBytes;

  // Begins to copy at most kPieceBytes of a tensor from `from` on.  Their digests come into
  // `digests`, in the order of the calls, at the latest with drain().  May wait for the piece
  // before the last one.
  [[nodiscard]] Status begin(const Tensor& tensor, const std::byte* from, MutableBytes into,
                             std::vector<Digest>* digests);
  // Waits for all.
  [[nodiscard]] Status drain();

 private:
  struct Flight {
    std::unique_ptr<StateMemory::Lane> lane;
    const void* place = nullptr;             // of the device that the lane is on
    std::vector<Digest>* digests = nullptr;  // null: nothing is under way
  };
  [[nodiscard]] Status land(Flight& flight);

  std::array<Flight, 2> flights_;
  size_t next_ = 0;  // which is the older one
};

}  // namespace rhz::recovery
