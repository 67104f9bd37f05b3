// How blocks of the same number meet on all ranks: flags in each other's memory, words of the
// host's, and waits that end.
#pragma once

#include "collectives/reduce/cuda/peer_allreduce.h"

namespace rhz::peer_kernels {

constexpr int kLooksPerAbort = 256;  // the abort word is on the other side of the bus
constexpr uint32_t kStopped = RHZ_PEER_STEPS - 1;

__device__ __forceinline__ uint64_t now_ns() {
  uint64_t ns;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(ns));
  return ns;
}
__device__ __forceinline__ void publish(uint64_t* flag, uint64_t value) {
  asm volatile("st.release.sys.global.u64 [%0], %1;" ::"l"(flag), "l"(value) : "memory");
}
// Without what was written before.
__device__ __forceinline__ void note(uint64_t* flag, uint64_t value) {
  asm volatile("st.relaxed.sys.global.u64 [%0], %1;" ::"l"(flag), "l"(value) : "memory");
}
__device__ __forceinline__ uint64_t look(const uint64_t* flag) {
  uint64_t value;
  asm volatile("ld.acquire.sys.global.u64 %0, [%1];" : "=l"(value) : "l"(flag) : "memory");
  return value;
}
// Of the host's.
__device__ __forceinline__ void tell(uint32_t* word, uint32_t value) {
  asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(word), "r"(value) : "memory");
}
__device__ __forceinline__ uint32_t ask(const uint32_t* word) {
  uint32_t value;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(word) : "memory");
  return value;
}

__device__ __forceinline__ uint64_t flag_of(const PeerAllReduce& p, uint32_t step) {
  constexpr uint64_t kTag = (uint64_t{1} << RHZ_PEER_TAG_BITS) - 1;
  return uint64_t{p.first_flag + step} << RHZ_PEER_TAG_BITS | (p.tag & kTag);
}

__device__ __forceinline__ uint64_t* flag_at(const PeerAllReduce& p, uint32_t at_rank,
                                             uint32_t of_rank, uint32_t block) {
  return p.flags[at_rank] + block * RHZ_PEER_RANKS + p.place[of_rank];
}
__device__ __forceinline__ uint64_t* flag_at(const PeerAllReduce& p, uint32_t at_rank,
                                             uint32_t of_rank) {
  return flag_at(p, at_rank, of_rank, blockIdx.x);
}

// Until the flag says that its rank has come as far, in the same op with the same members.  False:
// it will not.
__device__ inline bool wait_for(const PeerAllReduce& p, const uint64_t* flag, uint32_t step) {
  const auto steps_of = [](uint64_t f) { return f >> RHZ_PEER_TAG_BITS << RHZ_PEER_TAG_BITS; };
  const uint64_t wanted = flag_of(p, step);
  uint64_t begun = 0;
  for (int looks = 1;; ++looks) {
    const uint64_t seen = look(flag);
    // Steps go round; below are those of earlier ops.
    if (static_cast<int64_t>(steps_of(seen) - steps_of(wanted)) >= 0) {
      const uint64_t past = seen - wanted;
      return past << (64 - RHZ_PEER_TAG_BITS) == 0 && past >> RHZ_PEER_TAG_BITS < kStopped - step;
    }
    if (looks % kLooksPerAbort != 0) continue;
    if (begun == 0) begun = now_ns();
    if (ask(p.abort) != 0 || now_ns() - begun >= p.bound_ns) return false;
  }
}

// Of a flag of this op's generation, or another's: whether its rank takes part, and has not
// stopped.
__device__ inline bool takes_part(const PeerAllReduce& p, uint64_t seen) {
  const uint64_t past = seen - flag_of(p, 0);
  if (static_cast<int64_t>(past >> RHZ_PEER_TAG_BITS << RHZ_PEER_TAG_BITS) < 0)
    return true;  // an earlier one
  return past << (64 - RHZ_PEER_TAG_BITS) == 0 && past >> RHZ_PEER_TAG_BITS < kStopped;
}

// Who stops says so to the others, so that none of them waits for it: one that takes part with
// other members, because it heard of a death earlier, is not told to stop by anybody else.  Another
// rank's kernel, of another op, may have more blocks than this one.
__device__ inline void stop(const PeerAllReduce& p) {
  if (threadIdx.x >= p.ranks) return;
  publish(flag_at(p, threadIdx.x, p.rank), flag_of(p, kStopped));
  for (uint32_t block = gridDim.x; block < RHZ_PEER_BLOCKS; ++block)
    note(flag_at(p, threadIdx.x, p.rank, block), flag_of(p, kStopped));
}

// Each of the first threads sees to one rank.  False: stop.
__device__ inline bool gather(const PeerAllReduce& p, uint32_t step) {
  const bool well = threadIdx.x >= p.ranks || wait_for(p, flag_at(p, p.rank, threadIdx.x), step);
  const bool all_well = __syncthreads_and(well);
  if (!all_well) stop(p);
  return all_well;
}

// Among the blocks of this number.  What they did before is visible behind it.
__device__ inline bool meet(const PeerAllReduce& p, uint32_t step) {
  __syncthreads();
  if (threadIdx.x < p.ranks) publish(flag_at(p, threadIdx.x, p.rank), flag_of(p, step));
  return gather(p, step);
}

// The last time: says that this block has read all that it needs of the others'.  It has used what
// it read, so that no order is left to be kept.
__device__ inline bool part(const PeerAllReduce& p, uint32_t step) {
  __syncthreads();
  if (threadIdx.x < p.ranks) note(flag_at(p, threadIdx.x, p.rank), flag_of(p, step));
  return gather(p, step);
}

}  // namespace rhz::peer_kernels
