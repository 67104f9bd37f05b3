// A lane on a stream of the library's own; digests by a kernel, where there is one, else by the
// CPU.
#pragma once

#include "runtime/device/cuda/cuda_state_memory.h"

namespace rhz::cuda {

[[nodiscard]] Result<LaneParts> make_lane_parts(const Driver& driver, Context context,
                                                Function digests);

class CudaLane final : public StateMemory::Lane {
 public:
  CudaLane(CudaStateMemory& owner, Context context, Function digests, const LaneParts& parts)
      : owner_(owner), context_(context), digests_(digests), parts_(parts) {}
  ~CudaLane() override;

  Status begin_fetch(MutableBytes into, const std::byte* from) override;
  Status begin_put(std::byte* to, ConstBytes from) override;
  Status begin_digest(const std::byte* from, uint64_t bytes, std::vector<Digest>* append) override;
  Status finish() override;

 private:
  Status copy_out(std::byte* into, const std::byte* from, uint64_t bytes);
  // Whole blocks; false: that has to be done by the CPU.
  Result<bool> digest_here(const std::byte* from, uint64_t bytes);

  CudaStateMemory& owner_;
  const Context context_;
  const Function digests_;
  const LaneParts parts_;
  // Of the digests that are begun.
  std::vector<Digest>* append_ = nullptr;  // null: none
  uint64_t by_kernel_ = 0;                 // blocks whose digests the device writes …
  ConstBytes by_cpu_;                      // … and what is digested here, when it has come
  std::vector<std::byte> staged_;          // for that, where it is more than one block
};

}  // namespace rhz::cuda
