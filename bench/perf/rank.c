#include "bench/perf/rank.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "bench/perf/congestion.h"

enum {
  kMarks = 16,      /* elements that change in every iteration */
  kSamples = 64,    /* further elements that are checked after every iteration */
  kAlignment = 4096 /* bytes; a page, as most frameworks' tensors of this size have it */
};

struct buffers {
  float* send;
  float* recv;
  size_t bytes;
};

/* What this rank's buffer holds: numbers that every rank can work out for every other one. */
struct contents {
  size_t count;
  uint64_t base; /* serial of the full refill */
  uint64_t last; /* serial of the iteration that set the marks */
};

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double cpu_seconds(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
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

static uint64_t serial_at(const struct contents* c, size_t index) {
  for (int i = 0; i < kMarks; i++) {
    if (mark_at(c->count, i) == index) return c->last;
  }
  return c->base;
}

static void set_marks(struct contents* c, int rank, float* send, uint64_t serial) {
  c->last = serial;
  for (int i = 0; i < kMarks; i++) {
    size_t at = mark_at(c->count, i);
    send[at] = value_of(rank, at, serial);
  }
}

/* Against float64, whatever the order of the additions: each rounds by at most 2^-24 of what it has
 * added up. */
static int is_right(int world, const float* recv, size_t index, uint64_t serial) {
  double sum = 0, magnitude = 0;
  for (int rank = 0; rank < world; rank++) {
    double x = value_of(rank, index, serial);
    sum += x;
    magnitude += fabs(x);
  }
  return fabs((double)recv[index] - sum) <= world * 0x1p-24 * magnitude;
}

static const char* wrong_at(size_t index, float got) {
  static char text[96];
  snprintf(text, sizeof text, "wrong result: element %zu is %.9g", index, (double)got);
  return text;
}

static const char* check_all(const struct contents* c, int world, const float* recv) {
  for (size_t i = 0; i < c->count; i++) {
    if (!is_right(world, recv, i, c->base)) return wrong_at(i, recv[i]);
  }
  return NULL;
}

static const char* check_some(const struct contents* c, int world, const float* recv) {
  for (int i = 0; i < kMarks + kSamples; i++) {
    size_t at = i < kMarks ? mark_at(c->count, i) : (size_t)rand() % c->count;
    if (!is_right(world, recv, at, serial_at(c, at))) return wrong_at(at, recv[at]);
  }
  return NULL;
}

/* A barrier, then one timed all-reduce: submission to return, on this rank. */
static const char* one_op(const struct perf_library* lib, const struct buffers* b, size_t count,
                          int in_place, double* out_us) {
  if (in_place) memcpy(b->recv, b->send, count * sizeof(float));
  const char* problem = lib->barrier();
  if (problem) return problem;
  double begin = now_us();
  problem = lib->allreduce(in_place ? b->recv : b->send, b->recv, count);
  *out_us = now_us() - begin;
  return problem;
}

static const char* warm_up(const struct perf_library* lib, const struct buffers* b,
                           struct contents* c, long iterations, int in_place) {
  double ignored;
  for (size_t i = 0; i < c->count; i++) b->send[i] = value_of(lib->rank, i, c->base);
  const char* problem = one_op(lib, b, c->count, in_place, &ignored);
  if (!problem) problem = check_all(c, lib->world, b->recv);
  /* The check takes long enough for TCP to forget its window (slow start after idle): once more,
   * and small ops oftener. */
  for (long i = 0; !problem && i < 1 + iterations / 10; i++) {
    problem = one_op(lib, b, c->count, in_place, &ignored);
  }
  return problem;
}

static const char* measure(const struct perf_library* lib, const struct buffers* b,
                           struct contents* c, long iterations, int in_place, double* times_us,
                           double* out_cpu) {
  const char* problem = warm_up(lib, b, c, iterations, in_place);
  double before = cpu_seconds();
  for (long i = 0; !problem && i < iterations; i++) {
    set_marks(c, lib->rank, b->send, c->last + 1);
    problem = one_op(lib, b, c->count, in_place, &times_us[i]);
    if (!problem) problem = check_some(c, lib->world, b->recv);
  }
  *out_cpu = cpu_seconds() - before;
  /* Nobody goes to sleep in read() while another rank still needs its help to finish. */
  return problem ? problem : lib->barrier();
}

static int reserve(struct buffers* b, size_t bytes) {
  if (bytes <= b->bytes) return 1;
  free(b->send);
  free(b->recv);
  memset(b, 0, sizeof *b);
  void *send = NULL, *recv = NULL;
  if (posix_memalign(&send, kAlignment, bytes) || posix_memalign(&recv, kAlignment, bytes)) {
    free(send);
    return 0;
  }
  memset(recv, 0, bytes);
  *b = (struct buffers){send, recv, bytes};
  return 1;
}

static void answer(const struct perf_library* lib, FILE* out, const char* line, struct buffers* b,
                   uint64_t* serial) {
  size_t bytes;
  long iterations;
  int in_place;
  if (sscanf(line, "run %zu %ld %d", &bytes, &iterations, &in_place) != 3 ||
      bytes < sizeof(float) || bytes % sizeof(float) || iterations < 1 || iterations > 1000000) {
    fprintf(out, "error not understood: %s", line);
    return;
  }
  double* times_us = malloc((size_t)iterations * sizeof *times_us);
  if (!times_us || !reserve(b, bytes)) {
    free(times_us);
    fprintf(out, "error out of memory\n");
    return;
  }
  struct contents c = {bytes / sizeof(float), *serial + 1, *serial + 1};
  double cpu;
  const char* problem = measure(lib, b, &c, iterations, in_place, times_us, &cpu);
  *serial = c.last;
  if (problem) {
    fprintf(out, "error %s\n", problem);
  } else {
    char congestion[32];
    perf_congestion_in_force(congestion, sizeof congestion);
    fprintf(out, "ok %.6f %s", cpu, congestion);
    for (long i = 0; i < iterations; i++) fprintf(out, " %.2f", times_us[i]);
    fprintf(out, "\n");
  }
  free(times_us);
}

static int connect_abstract(const char* name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(name);
  if (length + 1 > sizeof address.sun_path) return -1;
  memcpy(address.sun_path + 1, name, length); /* a zero byte first: no file */
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
  if (fd >= 0 && connect(fd, (struct sockaddr*)&address, size) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

void perf_die_with_parent(void) { prctl(PR_SET_PDEATHSIG, SIGKILL); }

int perf_serve(const struct perf_library* library, const char* socket_name) {
  FILE *in = stdin, *out = stdout;
  if (strcmp(socket_name, "-") != 0) {
    int fd = connect_abstract(socket_name);
    in = fd < 0 ? NULL : fdopen(fd, "r");
    out = fd < 0 ? NULL : fdopen(dup(fd), "w");
    if (!in || !out) {
      fprintf(stderr, "perf: no driver at @%s: %s\n", socket_name, strerror(errno));
      return 1;
    }
  }
  signal(SIGPIPE, SIG_IGN);
  fprintf(out, "hello %d %d %s\n", library->rank, library->world, library->name);
  struct buffers buffers = {0};
  uint64_t serial = 0; /* the same on all ranks: they get the same commands */
  char line[128];
  while (fflush(out) == 0 && fgets(line, sizeof line, in)) {
    answer(library, out, line, &buffers, &serial);
  }
  free(buffers.send);
  free(buffers.recv);
  return 0;
}
