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
#include "collectives/reduce/cuda/peer_end.cuh"
#include "collectives/reduce/cuda/peer_pull.cuh"
#include "collectives/reduce/cuda/peer_push.cuh"
#include "collectives/reduce/cuda/put_again.cuh"

namespace rhz::peer_kernels {

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

}  // namespace rhz::peer_kernels
