// All-reduce among devices of one host that map each other's memory: nobody writes into another's
// but flags, data is pulled.
//
//   two shots   each rank reduces its share of everybody's input into its own result, then fetches
//   the other shares from theirs one shot    each rank reduces everybody's input by itself
//
// Inputs are added in the order of the ranks, in float32 (float64 of float64), and rounded once:
// the same bits on every rank.  A block works with the blocks of the same number on the other ranks
// and waits for no others, so that a grid needs no barrier of its own. Every wait has a bound and
// looks at a word of the host's: a peer that is gone leaves no kernel behind.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "collectives/reduce/cuda/peer_allreduce.h"

namespace {

constexpr uint32_t kFlagsOfOp = 3;
constexpr int kUnroll = 4;           // 16-byte loads of each input that a thread has in flight
constexpr int kLooksPerAbort = 256;  // the abort word is on the other side of the bus

__device__ __forceinline__ uint64_t now_ns() {
  uint64_t ns;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(ns));
  return ns;
}
__device__ __forceinline__ void publish(uint32_t* flag, uint32_t value) {
  asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");
}
__device__ __forceinline__ uint32_t look(const uint32_t* flag) {
  uint32_t value;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(flag) : "memory");
  return value;
}

__device__ bool wait_for(const PeerAllReduce& p, const uint32_t* flag, uint32_t value) {
  const uint64_t begun = now_ns();
  for (int looks = 1; static_cast<int32_t>(look(flag) - value) < 0; ++looks) {
    if (looks % kLooksPerAbort != 0) continue;
    const bool aborted = *reinterpret_cast<const volatile uint32_t*>(p.abort) != 0;
    if (!aborted && now_ns() - begun < p.bound_ns) continue;
    *reinterpret_cast<volatile uint32_t*>(p.status) = aborted ? kPeerAborted : kPeerTimedOut;
    return false;
  }
  return true;
}

// Among the blocks of this number.  What they did before is visible behind it.  False: stop.
//
// Who stops says to the others that it is through, so that none of them waits for it: one that takes part with other members, because it
// heard of a death earlier, is not told to stop by anybody else.  What they then compute counts for nothing, by the vote of who stopped.
__device__ bool meet(const PeerAllReduce& p, uint32_t step) {
  __syncthreads();
  bool well = true;
  uint32_t* theirs = nullptr;
  if (threadIdx.x < p.ranks) {
    const uint32_t value = p.first_flag + step, other = threadIdx.x, block = blockIdx.x * RHZ_PEER_RANKS;
    theirs = p.flags[other] + block + p.place[p.rank];
    __threadfence_system();
    publish(theirs, value);
    well = wait_for(p, p.flags[p.rank] + block + p.place[other], value);
  }
  const bool all_well = __syncthreads_and(well);
  if (!all_well && theirs) publish(theirs, p.first_flag + kFlagsOfOp - 1);
  return all_well;
}

// 16 bytes as numbers to add in.
template <class T>
struct Pack;
template <>
struct Pack<float> {
  static constexpr int kElements = 4;
  using Sum = float;
  __device__ static void add(float (&sum)[4], const uint4& x) {
    const float* f = reinterpret_cast<const float*>(&x);
    for (int i = 0; i < 4; ++i) sum[i] += f[i];
  }
  __device__ static uint4 round(const float (&sum)[4]) {
    return *reinterpret_cast<const uint4*>(sum);
  }
  __device__ static float widen(float x) { return x; }
  __device__ static float narrow(float x) { return x; }
};
template <>
struct Pack<double> {
  static constexpr int kElements = 2;
  using Sum = double;
  __device__ static void add(double (&sum)[2], const uint4& x) {
    const double* f = reinterpret_cast<const double*>(&x);
    for (int i = 0; i < 2; ++i) sum[i] += f[i];
  }
  __device__ static uint4 round(const double (&sum)[2]) {
    return *reinterpret_cast<const uint4*>(sum);
  }
  __device__ static double widen(double x) { return x; }
  __device__ static double narrow(double x) { return x; }
};
template <class T>
struct HalfPack {
  static constexpr int kElements = 8;
  using Sum = float;
  __device__ static void add(float (&sum)[8], const uint4& x) {
    const T* f = reinterpret_cast<const T*>(&x);
    for (int i = 0; i < 8; ++i) sum[i] += static_cast<float>(f[i]);
  }
  __device__ static uint4 round(const float (&sum)[8]) {
    uint4 x;
    T* f = reinterpret_cast<T*>(&x);
    for (int i = 0; i < 8; ++i) f[i] = static_cast<T>(sum[i]);
    return x;
  }
  __device__ static float widen(T x) { return static_cast<float>(x); }
  __device__ static T narrow(float x) { return static_cast<T>(x); }
};
template <>
struct Pack<__half> : HalfPack<__half> {};
template <>
struct Pack<__nv_bfloat16> : HalfPack<__nv_bfloat16> {};

// Sums packs [begin, end) of all inputs into the own result, this block's part of them.
template <class T>
__device__ void reduce(const PeerAllReduce& p, uint64_t begin, uint64_t end) {
  using P = Pack<T>;
  const uint64_t stride = uint64_t{gridDim.x} * blockDim.x;
  uint4* out = static_cast<uint4*>(p.out[p.rank]);
  for (uint64_t at = begin + uint64_t{blockIdx.x} * blockDim.x + threadIdx.x; at < end;
       at += kUnroll * stride) {
    typename P::Sum sum[kUnroll][P::kElements] = {};
    for (uint32_t r = 0; r < p.ranks; ++r) {
      const uint4* in = static_cast<const uint4*>(p.in[r]);
      uint4 x[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; ++u)
        if (at + u * stride < end) x[u] = __ldcg(in + at + u * stride);
#pragma unroll
      for (int u = 0; u < kUnroll; ++u)
        if (at + u * stride < end) P::add(sum[u], x[u]);
    }
    if (p.divisor != 1) {
#pragma unroll
      for (int u = 0; u < kUnroll; ++u)
        for (int i = 0; i < P::kElements; ++i) sum[u][i] /= static_cast<typename P::Sum>(p.divisor);
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u)
      if (at + u * stride < end) out[at + u * stride] = P::round(sum[u]);
  }
}

// The same block's part of packs [begin, end) from another's result.
__device__ void fetch(const PeerAllReduce& p, uint32_t from, uint64_t begin, uint64_t end) {
  const uint64_t stride = uint64_t{gridDim.x} * blockDim.x;
  const uint4* in = static_cast<const uint4*>(p.out[from]);
  uint4* out = static_cast<uint4*>(p.out[p.rank]);
  for (uint64_t at = begin + uint64_t{blockIdx.x} * blockDim.x + threadIdx.x; at < end;
       at += 2 * kUnroll * stride) {
    uint4 x[2 * kUnroll];
#pragma unroll
    for (int u = 0; u < 2 * kUnroll; ++u)
      if (at + u * stride < end) x[u] = __ldcg(in + at + u * stride);
#pragma unroll
    for (int u = 0; u < 2 * kUnroll; ++u)
      if (at + u * stride < end) out[at + u * stride] = x[u];
  }
}

// What fills no pack.
template <class T>
__device__ void reduce_rest(const PeerAllReduce& p, uint64_t begin) {
  using P = Pack<T>;
  const uint64_t at = begin + threadIdx.x;
  if (blockIdx.x != 0 || at >= p.count) return;
  typename P::Sum sum = 0;
  for (uint32_t r = 0; r < p.ranks; ++r) sum += P::widen(static_cast<const T*>(p.in[r])[at]);
  static_cast<T*>(p.out[p.rank])[at] = P::narrow(sum / static_cast<typename P::Sum>(p.divisor));
}

template <class T>
__device__ void fetch_rest(const PeerAllReduce& p, uint32_t owner, uint64_t begin) {
  const uint64_t at = begin + threadIdx.x;
  if (blockIdx.x == 0 && at < p.count)
    static_cast<T*>(p.out[p.rank])[at] = static_cast<const T*>(p.out[owner])[at];
}

// Legal in place: a share of all inputs is read by its own rank alone, which others wait for before
// they overwrite their part of it. What fills no pack goes with the last share.
template <class T>
__device__ void two_shot(const PeerAllReduce& p) {
  const uint64_t packs = p.count / Pack<T>::kElements;
  const auto share = [&](uint32_t r) { return packs * r / p.ranks; };
  if (!meet(p, 0)) return;
  const uint64_t rest = packs * Pack<T>::kElements;
  const uint32_t last = p.ranks - 1;
  reduce<T>(p, share(p.rank), share(p.rank + 1));
  if (p.rank == last) reduce_rest<T>(p, rest);
  if (!meet(p, 1)) return;
  for (uint32_t i = 1; i < p.ranks; ++i) {
    const uint32_t from = (p.rank + i) % p.ranks;
    fetch(p, from, share(from), share(from + 1));
  }
  if (p.rank != last) fetch_rest<T>(p, last, rest);
  (void)meet(p, 2);  // nobody reads the own result any more
}

// Not in place.
template <class T>
__device__ void one_shot(const PeerAllReduce& p) {
  const uint64_t packs = p.count / Pack<T>::kElements;
  if (!meet(p, 0)) return;
  reduce<T>(p, 0, packs);
  reduce_rest<T>(p, packs * Pack<T>::kElements);
  (void)meet(p, 1);  // nobody reads the own input any more
}

}  // namespace

extern "C" __global__ void rhz_copy_if(CopyIf c) {
  // One look for each block: a thousand warps that look across the bus take a millisecond.
  __shared__ bool copies;
  if (threadIdx.x == 0) copies = *static_cast<const volatile uint32_t*>(c.word) == c.value;
  __syncthreads();
  if (!copies) return;
  const uint64_t packs = c.bytes / 16, thread = uint64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const uint64_t stride = uint64_t{gridDim.x} * blockDim.x;
  for (uint64_t i = thread; i < packs; i += stride)
    static_cast<uint4*>(c.to)[i] = static_cast<const uint4*>(c.from)[i];
  if (const uint64_t i = packs * 16 + thread; i < c.bytes)
    static_cast<char*>(c.to)[i] = static_cast<const char*>(c.from)[i];
}

#define RHZ_PEER_KERNELS(name, T)                                                             \
  extern "C" __global__ void __launch_bounds__(512, 1) rhz_two_shot_##name(PeerAllReduce p) { \
    two_shot<T>(p);                                                                           \
  }                                                                                           \
  extern "C" __global__ void __launch_bounds__(512, 1) rhz_one_shot_##name(PeerAllReduce p) { \
    one_shot<T>(p);                                                                           \
  }
RHZ_PEER_KERNELS(f32, float)
RHZ_PEER_KERNELS(f64, double)
RHZ_PEER_KERNELS(f16, __half)
RHZ_PEER_KERNELS(bf16, __nv_bfloat16)
