// How a kernel ends: the host is told, and what did not pass holds its stream until the host has
// said how the op goes on.
#pragma once

#include "collectives/reduce/cuda/peer_meeting.cuh"

namespace rhz::peer_kernels {

constexpr unsigned kNapNs = 500;  // of who holds the stream

// What `part` of so many blocks copies.
__device__ inline void copy(void* to, const void* from, uint64_t bytes, uint32_t part,
                            uint32_t parts) {
  constexpr int kAtOnce = 8;
  const uint64_t packs = bytes / 16, stride = uint64_t{parts} * blockDim.x;
  const uint64_t thread = uint64_t{part} * blockDim.x + threadIdx.x;
  const uint4* in = static_cast<const uint4*>(from);
  uint4* out = static_cast<uint4*>(to);
  for (uint64_t at = thread; at < packs; at += kAtOnce * stride) {
    uint4 x[kAtOnce];
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u)
      if (at + u * stride < packs) x[u] = __ldcv(in + at + u * stride);
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u)
      if (at + u * stride < packs) out[at + u * stride] = x[u];
  }
  for (uint64_t i = packs * 16 + thread; i < bytes; i += stride)
    static_cast<char*>(to)[i] = static_cast<const volatile char*>(from)[i];
}

// Another order than `old`; kPeerHold: none came in time.
__device__ inline uint32_t next_order(const PeerAllReduce& p, uint32_t old) {
  __shared__ uint32_t order;
  __syncthreads();
  if (threadIdx.x == 0) {
    const uint64_t begun = now_ns();
    while ((order = ask(p.order)) == old) {
      if (now_ns() - begun >= p.hold_ns) {
        order = kPeerHold;
        break;
      }
      __nanosleep(kNapNs);
    }
  }
  __syncthreads();
  return order;
}

// What the blocks of a kernel count together, in one word: how many have come to their end, arrived
// and passed; of those that hold the stream, how many have given their part of the input, and are
// through.
constexpr int kArrivedAt = 16, kPassedAt = 32, kGaveAt = 48, kThroughAt = 56;
static_assert(RHZ_PEER_BLOCKS < 1 << (kThroughAt - kGaveAt));

__device__ __forceinline__ uint64_t count(uint64_t* counter, uint64_t own) {
  uint64_t before;
  asm volatile("atom.acq_rel.gpu.global.add.u64 %0, [%1], %2;"
               : "=l"(before)
               : "l"(counter), "l"(own)
               : "memory");
  return before + own;
}
__device__ __forceinline__ void count_op(uint32_t* counter) {
  asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(counter) : "memory");
}
__device__ __forceinline__ uint32_t not_passed(uint64_t sum) {
  return static_cast<uint32_t>((sum & 0xffff) - (sum >> kPassedAt & 0xffff));
}

// The stream stands, because the blocks that did not pass do not end before the host has said how
// the op goes on.  It says so when all have come to their end.
__device__ inline void hold(const PeerAllReduce& p, uint32_t holder) {
  uint32_t order = next_order(p, kPeerHold);
  uint64_t ended = look(p.ended_blocks);
  while ((ended & 0xffff) < gridDim.x)
    ended = look(p.ended_blocks);  // the order may have come before
  const uint32_t holders = not_passed(ended);
  if (order == kPeerGive) {
    copy(p.host_in, p.input, p.bytes, holder, holders);
    __threadfence_system();
    __syncthreads();
    if (threadIdx.x == 0) {
      const uint64_t sum = count(p.ended_blocks, uint64_t{1} << kGaveAt);
      if ((sum >> kGaveAt & 0xff) == holders) tell(p.given, 1);
    }
    order = next_order(p, kPeerGive);
  }
  if (order == kPeerTake) copy(p.out[p.rank], p.host_out, p.bytes, holder, holders);
  __threadfence_system();
  __syncthreads();
  if (threadIdx.x != 0) return;
  const uint64_t sum = count(p.ended_blocks, uint64_t{1} << kThroughAt);
  if (sum >> kThroughAt != holders) return;
  *p.ended_blocks = 0;
  count_op(p.slot_over);
  tell(p.done, order == kPeerHold ? RHZ_PEER_LEFT : 1);
}

// What the whole kernel came to is known to the block that ends last.  Passed: the host is told,
// and that is all.
__device__ inline void finish(const PeerAllReduce& p, PeerEnd block) {
  __shared__ uint32_t holder;
  __syncthreads();
  if (threadIdx.x == 0) {
    const uint64_t blocks = gridDim.x;
    const bool passed = block == kPeerPassed, arrived = block != kPeerStopped;
    uint64_t sum = uint64_t{1} | uint64_t{arrived} << kArrivedAt | uint64_t{passed} << kPassedAt;
    if (blocks > 1 || !passed) sum = count(p.ended_blocks, sum);
    holder = not_passed(sum) - 1;
    if ((sum & 0xffff) == blocks) {
      const bool all_passed = not_passed(sum) == 0;
      if (all_passed && blocks > 1) *p.ended_blocks = 0;
      if (all_passed) count_op(p.slot_over);
      tell(p.ended, all_passed                               ? kPeerPassed
                    : (sum >> kArrivedAt & 0xffff) == blocks ? kPeerArrived
                                                             : kPeerStopped);
    }
  }
  __syncthreads();
  if (block != kPeerPassed) hold(p, holder);
}

}  // namespace rhz::peer_kernels
