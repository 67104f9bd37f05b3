/* What ranks send and what they must get: numbers that every rank can work out for every other one.
 */
#ifndef RHZ_BENCH_PERF_VALUES_H
#define RHZ_BENCH_PERF_VALUES_H

#include <stdint.h>

#include "bench/perf/collective.h"

struct perf_contents {
  enum perf_collective collective;
  int rank, world;
  size_t count_elems; /* of the call */
  uint64_t base;      /* serial of the full refill; nobody else's */
  uint64_t last;      /* serial of the iteration that set the marks */
};

/* Fills the send buffer. */
void perf_fill(const struct perf_contents* c, float* send);

/* Changes the elements that are looked at after every iteration: a result of an earlier one is then
 * wrong. */
void perf_set_marks(struct perf_contents* c, float* send);

/* Against float64.  All: up to 16 Mi elements, a regular sample above.  Some: the marks and a
 * random sample. NULL, or what is wrong; valid until the next call. */
const char* perf_check_all(const struct perf_contents* c, const float* recv);
const char* perf_check_some(const struct perf_contents* c, const float* recv);

#endif
