// All-reduce among devices of one host that map each other's memory.  Nobody writes into what is
// the program's: data is pulled from there, or pushed into memory of the library's own.
//
//   two shots   each rank reduces its share of everybody's input into its own result, then fetches
//               the other shares from theirs
//   one shot    each rank reduces everybody's input by itself
//   push        each rank gives everybody its input, with flags in it, and reduces what it was
//   given
//
// Inputs are added in the order of the ranks, in float32 (float64 of float64), and rounded once:
// the same bits on every rank.  A block works with the blocks of the same number on the other ranks
// and waits for no others, so that a grid needs no barrier of its own. Every wait has a bound and
// looks at a word of the host's: a peer that is gone leaves no kernel behind.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "collectives/reduce/cuda/peer_allreduce.h"

namespace {

constexpr int kLoads = 8;            // of 16 bytes that a thread has in flight
constexpr int kLooksPerAbort = 256;  // the abort word is on the other side of the bus
constexpr uint32_t kStopped = RHZ_PEER_STEPS - 1;
constexpr unsigned kNapNs = 500;  // of who holds the stream

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
__device__ bool wait_for(const PeerAllReduce& p, const uint64_t* flag, uint32_t step) {
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
__device__ bool takes_part(const PeerAllReduce& p, uint64_t seen) {
  const uint64_t past = seen - flag_of(p, 0);
  if (static_cast<int64_t>(past >> RHZ_PEER_TAG_BITS << RHZ_PEER_TAG_BITS) < 0)
    return true;  // an earlier one
  return past << (64 - RHZ_PEER_TAG_BITS) == 0 && past >> RHZ_PEER_TAG_BITS < kStopped;
}

// Who stops says so to the others, so that none of them waits for it: one that takes part with
// other members, because it heard of a death earlier, is not told to stop by anybody else.  Another
// rank's kernel, of another op, may have more blocks than this one.
__device__ void stop(const PeerAllReduce& p) {
  if (threadIdx.x >= p.ranks) return;
  publish(flag_at(p, threadIdx.x, p.rank), flag_of(p, kStopped));
  for (uint32_t block = gridDim.x; block < RHZ_PEER_BLOCKS; ++block)
    note(flag_at(p, threadIdx.x, p.rank, block), flag_of(p, kStopped));
}

// Each of the first threads sees to one rank.  False: stop.
__device__ bool gather(const PeerAllReduce& p, uint32_t step) {
  const bool well = threadIdx.x >= p.ranks || wait_for(p, flag_at(p, p.rank, threadIdx.x), step);
  const bool all_well = __syncthreads_and(well);
  if (!all_well) stop(p);
  return all_well;
}

// Among the blocks of this number.  What they did before is visible behind it.
__device__ bool meet(const PeerAllReduce& p, uint32_t step) {
  __syncthreads();
  if (threadIdx.x < p.ranks) publish(flag_at(p, threadIdx.x, p.rank), flag_of(p, step));
  return gather(p, step);
}

// The last time: says that this block has read all that it needs of the others'.  It has used what
// it read, so that no order is left to be kept.
__device__ bool part(const PeerAllReduce& p, uint32_t step) {
  __syncthreads();
  if (threadIdx.x < p.ranks) note(flag_at(p, threadIdx.x, p.rank), flag_of(p, step));
  return gather(p, step);
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

__device__ void fetch(const PeerAllReduce& p, const Shares& shares) {
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
__device__ bool slot_is_free(const PeerAllReduce& p) {
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

// What `part` of so many blocks copies.
__device__ void copy(void* to, const void* from, uint64_t bytes, uint32_t part, uint32_t parts) {
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
__device__ uint32_t next_order(const PeerAllReduce& p, uint32_t old) {
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
__device__ void hold(const PeerAllReduce& p, uint32_t holder) {
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
__device__ void finish(const PeerAllReduce& p, PeerEnd block) {
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

}  // namespace

#define RHZ_PEER_KERNELS(name, T)                                                             \
  extern "C" __global__ void __launch_bounds__(512, 1) rhz_two_shot_##name(PeerAllReduce p) { \
    finish(p, two_shot<T>(p));                                                                \
  }                                                                                           \
  extern "C" __global__ void __launch_bounds__(512, 1) rhz_one_shot_##name(PeerAllReduce p) { \
    finish(p, one_shot<T>(p));                                                                \
  }                                                                                           \
  extern "C" __global__ void __launch_bounds__(512, 1) rhz_push_##name(PeerAllReduce p) {     \
    finish(p, push<T>(p));                                                                    \
  }
RHZ_PEER_KERNELS(f32, float)
RHZ_PEER_KERNELS(f64, double)
RHZ_PEER_KERNELS(f16, __half)
RHZ_PEER_KERNELS(bf16, __nv_bfloat16)
