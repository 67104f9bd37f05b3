// Push: what is written into memory of the library's own on the others.
#pragma once

#include "collectives/reduce/cuda/peer_meeting.cuh"
#include "collectives/reduce/cuda/peer_packs.cuh"

namespace rhz::peer_kernels {

// Of 16 bytes: three words of data, and the number of the op.  They are stored and loaded as one
// scalar, which is never seen in parts.
__device__ __forceinline__ void store_line(uint64_t* line, const uint32_t* words, uint32_t number) {
  asm volatile(
      "{\n"
      ".reg .b128 line;\n"
      "mov.b128 line, {%1, %2};\n"
      "st.relaxed.sys.global.b128 [%0], line;\n"
      "}" ::"l"(line),
      "l"(uint64_t{words[1]} << 32 | words[0]), "l"(uint64_t{number} << 32 | words[2])
      : "memory");
}
// Whether it is of the op.
__device__ __forceinline__ bool load_line(const uint64_t* line, uint32_t* words, uint32_t number) {
  uint64_t low, high;
  asm volatile(
      "{\n"
      ".reg .b128 line;\n"
      "ld.relaxed.sys.global.b128 line, [%2];\n"
      "mov.b128 {%0, %1}, line;\n"
      "}"
      : "=l"(low), "=l"(high)
      : "l"(line)
      : "memory");
  words[0] = static_cast<uint32_t>(low);
  words[1] = static_cast<uint32_t>(low >> 32);
  words[2] = static_cast<uint32_t>(high);
  return high >> 32 == number;
}

constexpr uint32_t kPushPacks = RHZ_PEER_PUSH_PACKS, kPushLines = kPushPacks + 1;

// What a thread pushes and is given.
using Load = uint4[kPushPacks];
using Words = uint32_t[3 * kPushLines];
static_assert(sizeof(Load) == sizeof(Words));

__device__ __forceinline__ void words_of(const Load& load, Words& words) {
#pragma unroll
  for (uint32_t i = 0; i < kPushPacks; ++i) {
    words[4 * i] = load[i].x;
    words[4 * i + 1] = load[i].y;
    words[4 * i + 2] = load[i].z;
    words[4 * i + 3] = load[i].w;
  }
}
__device__ __forceinline__ uint4 pack_of(const Words& words, uint32_t i) {
  return make_uint4(words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]);
}

// Packs of each thread: neighbours have neighbouring packs, and lines.
struct PushPart {
  uint32_t packs;
  uint64_t first_pack, first_line;
  bool any;

  __device__ explicit PushPart(uint64_t all_packs) {
    const uint64_t threads = uint64_t{gridDim.x} * blockDim.x;
    packs = static_cast<uint32_t>((all_packs + threads - 1) / threads);
    const uint64_t before = uint64_t{blockIdx.x} * blockDim.x;
    first_pack = before * packs + threadIdx.x;
    first_line = before * (packs + 1) + threadIdx.x;
    any = first_pack < all_packs;
  }
};

__device__ __forceinline__ uint64_t* lines_of(const PeerAllReduce& p, uint32_t at_rank,
                                              uint32_t of_rank, const PushPart& part) {
  return p.slots[at_rank] + (uint64_t{p.place[of_rank]} * p.slot_lines + part.first_line) * 2;
}

__device__ __forceinline__ void give(const PeerAllReduce& p, uint32_t to, const PushPart& part,
                                     const Words& words) {
  uint64_t* const lines = lines_of(p, to, p.rank, part);
#pragma unroll
  for (uint32_t i = 0; i < kPushLines; ++i)
    if (i <= part.packs) store_line(lines + i * blockDim.x * 2, words + 3 * i, p.push_flag);
}

// False: it will not come.
__device__ __forceinline__ bool receive(const PeerAllReduce& p, uint32_t from, const PushPart& part,
                                        Words& words) {
  const uint64_t* const lines = lines_of(p, p.rank, from, part);
  const uint64_t* flag = flag_at(p, p.rank, from);
  uint64_t begun = 0;
  for (int looks = 1;; ++looks) {
    bool all = true;
#pragma unroll
    for (uint32_t i = 0; i < kPushLines; ++i)
      if (i <= part.packs) all &= load_line(lines + i * blockDim.x * 2, words + 3 * i, p.push_flag);
    if (all) return true;
    if (looks % kLooksPerAbort != 0) continue;
    if (begun == 0) begun = now_ns();
    if (!takes_part(p, look(flag)) || ask(p.abort) != 0 || now_ns() - begun >= p.bound_ns)
      return false;
  }
}

// The ops that had this slot before are over here, and so the others have read what they were
// given.
__device__ inline bool slot_is_free(const PeerAllReduce& p) {
  uint64_t begun = 0;
  for (int looks = 1; static_cast<int32_t>(ask(p.slot_over) - p.slot_before) < 0; ++looks) {
    if (looks % kLooksPerAbort != 0) continue;
    if (begun == 0) begun = now_ns();
    if (ask(p.abort) != 0 || now_ns() - begun >= p.bound_ns) return false;
  }
  return true;
}

// The last one may be of fewer elements; those behind it are of none.
template <class T>
__device__ uint4 load_pack(const PeerAllReduce& p, uint64_t pack) {
  constexpr int kElements = Pack<T>::kElements;
  const T* in = static_cast<const T*>(p.in[p.rank]) + pack * kElements;
  if ((pack + 1) * kElements <= p.count) return *reinterpret_cast<const uint4*>(in);
  uint4 x = make_uint4(0, 0, 0, 0);
#pragma unroll
  for (int i = 0; i < kElements; ++i)
    if (pack * kElements + i < p.count) reinterpret_cast<T*>(&x)[i] = in[i];
  return x;
}
template <class T>
__device__ void store_pack(const PeerAllReduce& p, uint64_t pack, const uint4& x) {
  constexpr int kElements = Pack<T>::kElements;
  T* out = static_cast<T*>(p.out[p.rank]) + pack * kElements;
  if ((pack + 1) * kElements <= p.count) {
    *reinterpret_cast<uint4*>(out) = x;
    return;
  }
#pragma unroll
  for (int i = 0; i < kElements; ++i)
    if (pack * kElements + i < p.count) out[i] = reinterpret_cast<const T*>(&x)[i];
}

// `load`: the own one, and then the sum.
template <class T>
__device__ __forceinline__ bool reduce_pushed(const PeerAllReduce& p, const PushPart& part,
                                              Load& load) {
  using P = Pack<T>;
  typename P::Sum sum[kPushPacks][P::kElements] = {};
  for (uint32_t r = 0; r < p.ranks; ++r) {
    Words given;
    words_of(load, given);
    if (r != p.rank && !receive(p, r, part, given)) return false;
#pragma unroll
    for (uint32_t i = 0; i < kPushPacks; ++i) P::add(sum[i], pack_of(given, i));
  }
#pragma unroll
  for (uint32_t i = 0; i < kPushPacks; ++i) {
    if (p.divisor != 1)
      for (auto& s : sum[i]) s /= static_cast<typename P::Sum>(p.divisor);
    load[i] = P::round(sum[i]);
  }
  return true;
}

// Legal in place: what is the program's is touched by its own rank alone.
//
// Who has all that it needs has arrived, before its result is written: nothing can keep it from
// that any more, and nobody else reads it.
template <class T>
__device__ PeerEnd push(const PeerAllReduce& p) {
  const PushPart part((p.count + Pack<T>::kElements - 1) / Pack<T>::kElements);
  Load load = {};
#pragma unroll
  for (uint32_t i = 0; i < kPushPacks; ++i)
    if (i < part.packs) load[i] = load_pack<T>(p, part.first_pack + i * blockDim.x);
  bool well = __syncthreads_and(threadIdx.x != 0 || slot_is_free(p));
  if (well && part.any) {
    Words words;
    words_of(load, words);
    for (uint32_t i = 1; i < p.ranks; ++i) give(p, (p.rank + i) % p.ranks, part, words);
    well = reduce_pushed<T>(p, part, load);
  }
  if (!__syncthreads_and(well)) {
    stop(p);
    return kPeerStopped;
  }
  if (threadIdx.x < p.ranks) note(flag_at(p, threadIdx.x, p.rank), flag_of(p, 1));
#pragma unroll
  for (uint32_t i = 0; i < kPushPacks; ++i)
    if (i < part.packs) store_pack<T>(p, part.first_pack + i * blockDim.x, load[i]);
  return gather(p, 1) ? kPeerPassed : kPeerArrived;
}

}  // namespace rhz::peer_kernels
