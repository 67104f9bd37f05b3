// One shot and two shots: what is read from the others.
#pragma once

#include "collectives/reduce/cuda/peer_meeting.cuh"
#include "collectives/reduce/cuda/peer_packs.cuh"

namespace rhz::peer_kernels {

constexpr int kLoads = 8;  // of 16 bytes that a thread has in flight

// Sums packs [begin, end) of all inputs into the own result, this block's part of them.  Of so many
// ranks so many loads of each are on their way together.
template <class T, int kTogether>
__device__ void reduce_of(const PeerAllReduce& p, uint64_t begin, uint64_t end) {
  using P = Pack<T>;
  constexpr int kUnroll = kLoads / kTogether;
  const uint64_t stride = uint64_t{gridDim.x} * blockDim.x;
  uint4* out = static_cast<uint4*>(p.out[p.rank]);
  for (uint64_t at = begin + uint64_t{blockIdx.x} * blockDim.x + threadIdx.x; at < end;
       at += kUnroll * stride) {
    typename P::Sum sum[kUnroll][P::kElements] = {};
    for (uint32_t first = 0; first < p.ranks; first += kTogether) {
      uint4 x[kTogether][kUnroll];
#pragma unroll
      for (int r = 0; r < kTogether; ++r)
#pragma unroll
        for (int u = 0; u < kUnroll; ++u)
          if (first + r < p.ranks && at + u * stride < end)
            x[r][u] = __ldcg(static_cast<const uint4*>(p.in[first + r]) + at + u * stride);
#pragma unroll
      for (int r = 0; r < kTogether; ++r)
#pragma unroll
        for (int u = 0; u < kUnroll; ++u)
          if (first + r < p.ranks && at + u * stride < end) P::add(sum[u], x[r][u]);
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

template <class T>
__device__ void reduce(const PeerAllReduce& p, uint64_t begin, uint64_t end) {
  if (p.ranks <= 2)
    reduce_of<T, 2>(p, begin, end);
  else
    reduce_of<T, 4>(p, begin, end);
}

// Shares of packs, by rank.
struct Shares {
  uint64_t begin[RHZ_PEER_RANKS + 1];

  __device__ uint64_t size(uint32_t rank) const { return begin[rank + 1] - begin[rank]; }
};

// The same block's part of the others' shares from their results: by turns, so that all links are
// busy, beginning with the next rank.
template <bool kOneOther>
__device__ void fetch_from(const PeerAllReduce& p, const Shares& shares) {
  const uint64_t stride = uint64_t{gridDim.x} * blockDim.x;
  const uint64_t most = shares.size(p.ranks - 1);  // none is larger
  uint4* out = static_cast<uint4*>(p.out[p.rank]);
  uint64_t at = uint64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  uint32_t next = 1;
  while (at < most) {
    uint4 x[kLoads];
    uint64_t place[kLoads];
#pragma unroll
    for (int u = 0; u < kLoads; ++u) {
      const uint32_t other = p.rank + next;
      const uint32_t from = kOneOther ? 1 - p.rank : other < p.ranks ? other : other - p.ranks;
      place[u] = at < shares.size(from) ? shares.begin[from] + at : ~uint64_t{0};
      if (~place[u]) x[u] = __ldcg(static_cast<const uint4*>(p.out[from]) + place[u]);
      if (kOneOther || ++next == p.ranks) next = 1, at += stride;
    }
#pragma unroll
    for (int u = 0; u < kLoads; ++u)
      if (~place[u]) out[place[u]] = x[u];
  }
}

__device__ inline void fetch(const PeerAllReduce& p, const Shares& shares) {
  if (p.ranks == 2) fetch_from<true>(p, shares);
  if (p.ranks > 2) fetch_from<false>(p, shares);
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
__device__ PeerEnd two_shot(const PeerAllReduce& p) {
  const uint64_t packs = p.count / Pack<T>::kElements;
  __shared__ Shares shares;
  if (threadIdx.x <= p.ranks) shares.begin[threadIdx.x] = packs * threadIdx.x / p.ranks;
  if (!meet(p, 0)) return kPeerStopped;
  const uint64_t rest = packs * Pack<T>::kElements;
  const uint32_t last = p.ranks - 1;
  reduce<T>(p, shares.begin[p.rank], shares.begin[p.rank + 1]);
  if (p.rank == last) reduce_rest<T>(p, rest);
  if (!meet(p, 1)) return kPeerStopped;
  fetch(p, shares);
  if (p.rank != last) fetch_rest<T>(p, last, rest);
  return part(p, 2) ? kPeerPassed : kPeerArrived;  // passed: nobody reads the own result any more
}

// Not in place.
template <class T>
__device__ PeerEnd one_shot(const PeerAllReduce& p) {
  const uint64_t packs = p.count / Pack<T>::kElements;
  if (!meet(p, 0)) return kPeerStopped;
  reduce<T>(p, 0, packs);
  reduce_rest<T>(p, packs * Pack<T>::kElements);
  return part(p, 1) ? kPeerPassed : kPeerArrived;  // passed: nobody reads the own input any more
}

}  // namespace rhz::peer_kernels
