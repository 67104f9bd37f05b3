/* The collectives that are compared, and what "bytes" means for each.
 *
 * Sizes and bus bandwidth are those of nccl-tests: bytes are the larger of a rank's two buffers,
 * and busbw is bytes / time times a factor that makes it comparable with the speed of a link
 * whatever the number of ranks. */
#ifndef RHZ_BENCH_PERF_COLLECTIVE_H
#define RHZ_BENCH_PERF_COLLECTIVE_H

#include <stddef.h>
#include <string.h>

enum perf_collective {
  PERF_ALLREDUCE,
  PERF_REDUCE_SCATTER,
  PERF_ALLGATHER,
  PERF_BROADCAST, /* from rank 0 */
  PERF_REDUCE,    /* to rank 0 */
  PERF_ALLTOALL,
  PERF_BARRIER,
  PERF_COLLECTIVES
};

static inline const char* perf_collective_name(enum perf_collective collective) {
  static const char* const names[PERF_COLLECTIVES] = {
      "allreduce", "reduce_scatter", "allgather", "broadcast", "reduce", "alltoall", "barrier"};
  return names[collective];
}

/* PERF_COLLECTIVES: there is none of that name. */
static inline enum perf_collective perf_collective_named(const char* name) {
  int i = 0;
  while (i < PERF_COLLECTIVES && strcmp(perf_collective_name((enum perf_collective)i), name) != 0) {
    i++;
  }
  return (enum perf_collective)i;
}

/* One of the two buffers is a block per rank: count_elems of a call is the size of such a block. */
static inline int perf_has_blocks(enum perf_collective collective) {
  return collective == PERF_REDUCE_SCATTER || collective == PERF_ALLGATHER ||
         collective == PERF_ALLTOALL;
}

/* count_elems of a call for a nominal size: rounded down to whole blocks, and never nothing. */
static inline size_t perf_count(enum perf_collective collective, size_t bytes, int world) {
  size_t block_bytes = sizeof(float) * (perf_has_blocks(collective) ? (size_t)world : 1);
  if (collective == PERF_BARRIER) return 0;
  return bytes < block_bytes ? 1 : bytes / block_bytes;
}

/* The larger buffer of that call. */
static inline size_t perf_buffer_bytes(enum perf_collective collective, size_t count_elems,
                                       int world) {
  return count_elems * sizeof(float) * (perf_has_blocks(collective) ? (size_t)world : 1);
}

static inline double perf_busbw_factor(enum perf_collective collective, int world) {
  if (collective == PERF_ALLREDUCE) return 2.0 * (world - 1) / world;
  return perf_has_blocks(collective) ? (double)(world - 1) / world : 1.0;
}

#endif
