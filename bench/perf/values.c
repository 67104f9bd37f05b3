#include "bench/perf/values.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
  kMarks = 16,              /* elements of the send buffer that change in every iteration */
  kSamples = 64,            /* further elements of the result checked after every iteration */
  kFullyChecked = 16 << 20, /* elements: 64 MiB; more takes longer than the measurement */
  kNowhere = -1
};

/* Where an element of the result comes from: one element each of some consecutive ranks' send
 * buffers, added up. */
struct origin {
  int first_rank, ranks;
  size_t index;
};

static size_t sent_elems(const struct perf_contents* c) {
  int blocks = c->collective == PERF_REDUCE_SCATTER || c->collective == PERF_ALLTOALL;
  return c->count_elems * (blocks ? (size_t)c->world : 1);
}

/* How much of the result is defined on this rank. */
static size_t received_elems(const struct perf_contents* c) {
  if (c->collective == PERF_REDUCE && c->rank != 0) return 0;
  if (c->collective == PERF_BROADCAST && c->rank == 0)
    return 0; /* the root sends from its own buffer */
  int blocks = c->collective == PERF_ALLGATHER || c->collective == PERF_ALLTOALL;
  return c->count_elems * (blocks ? (size_t)c->world : 1);
}

static struct origin origin_of(const struct perf_contents* c, size_t at) {
  size_t block = c->count_elems, mine = (size_t)c->rank * block;
  switch (c->collective) {
    case PERF_REDUCE_SCATTER: return (struct origin){0, c->world, mine + at};
    case PERF_ALLGATHER: return (struct origin){(int)(at / block), 1, at % block};
    case PERF_ALLTOALL: return (struct origin){(int)(at / block), 1, mine + at % block};
    case PERF_BROADCAST: return (struct origin){0, 1, at};
    default: return (struct origin){0, c->world, at};
  }
}

/* An element of this rank's result that comes from element `index` of send buffers; kNowhere: other
 * ranks'. */
static long landing_of(const struct perf_contents* c, size_t index) {
  size_t block = c->count_elems;
  size_t any_rank = (size_t)rand() % (size_t)c->world;
  switch (c->collective) {
    case PERF_REDUCE_SCATTER:
      return index / block == (size_t)c->rank ? (long)(index % block) : kNowhere;
    case PERF_ALLTOALL:
      return index / block == (size_t)c->rank ? (long)(any_rank * block + index % block) : kNowhere;
    case PERF_ALLGATHER: return (long)(any_rank * block + index);
    default: return (long)index;
  }
}

/* In [-1, 1), a multiple of 2^-23: exact in f32. */
static float value_of(int rank, size_t index, uint64_t serial) {
  uint64_t x = ((uint64_t)index + 1) * 0x9E3779B97F4A7C15u;
  x ^= ((serial << 16) + (uint64_t)rank + 1) * 0xD6E8FEB86659FD93u;
  x ^= x >> 32;
  x *= 0xD6E8FEB86659FD93u;
  return (float)((int32_t)(x >> 32) >> 8) * 0x1p-23f;
}

static size_t mark_at(size_t count, int i) { return count * (size_t)(2 * i + 1) / (2 * kMarks); }

static uint64_t serial_at(const struct perf_contents* c, size_t index) {
  size_t count = sent_elems(c);
  for (int i = 0; i < kMarks && c->last != c->base; i++) {
    if (mark_at(count, i) == index) return c->last;
  }
  return c->base;
}

void perf_fill(const struct perf_contents* c, float* send) {
  size_t count = sent_elems(c);
  for (size_t i = 0; i < count; i++) send[i] = value_of(c->rank, i, c->base);
}

void perf_set_marks(struct perf_contents* c, float* send) {
  size_t count = sent_elems(c);
  c->last++;
  for (int i = 0; i < kMarks && count > 0; i++) {
    size_t at = mark_at(count, i);
    send[at] = value_of(c->rank, at, c->last);
  }
}

/* Whatever the order of the additions: each rounds by at most 2^-24 of what it has added up.  A
 * copy has no excuse. */
static const char* check_at(const struct perf_contents* c, const float* recv, size_t at) {
  static char text[96];
  struct origin from = origin_of(c, at);
  uint64_t serial = serial_at(c, from.index);
  double sum = 0, magnitude = 0;
  for (int i = 0; i < from.ranks; i++) {
    double x = value_of(from.first_rank + i, from.index, serial);
    sum += x;
    magnitude += fabs(x);
  }
  double tolerance = from.ranks > 1 ? from.ranks * 0x1p-24 * magnitude : 0;
  if (fabs((double)recv[at] - sum) <= tolerance) return NULL;
  snprintf(text, sizeof text, "wrong result: element %zu is %.9g, not %.9g", at, recv[at], sum);
  return text;
}

const char* perf_check_all(const struct perf_contents* c, const float* recv) {
  size_t count = received_elems(c), step = 1 + count / (kFullyChecked + 1);
  const char* problem = NULL;
  for (size_t i = 0; i < count && !problem; i += step) problem = check_at(c, recv, i);
  return problem;
}

const char* perf_check_some(const struct perf_contents* c, const float* recv) {
  size_t count = received_elems(c), sent = sent_elems(c);
  const char* problem = NULL;
  for (int i = 0; i < kMarks && count > 0 && !problem; i++) {
    long at = landing_of(c, mark_at(sent, i));
    if (at != kNowhere) problem = check_at(c, recv, (size_t)at);
  }
  for (int i = 0; i < kSamples && count > 0 && !problem; i++) {
    problem = check_at(c, recv, (size_t)rand() % count);
  }
  return problem;
}
