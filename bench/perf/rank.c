#include "bench/perf/rank.h"

#include <errno.h>
#include <inttypes.h>
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
#include "bench/perf/values.h"

enum {
  kAlignment = 4096, /* bytes; a page, as most frameworks' tensors of this size have it */
  kKeptBytes =
      64 << 20, /* larger buffers are freed after a command: other libraries need room for theirs */
  kSmallElems = 16384,
  kSmallWarmUps = 300,
  kMostIterations = 1000000
};

struct buffers {
  float* send;
  float* recv;
  size_t bytes;
};

struct command {
  enum perf_collective collective;
  size_t count_elems;
  long iterations;
  int in_place;
  int ops;
};

struct outcome {
  double cpu_seconds;
  uint64_t tcp_bytes;
  double* times_us; /* one per iteration */
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

static const char* barrier(const struct perf_library* lib) {
  return lib->calls[PERF_BARRIER](NULL, NULL, 0);
}

/* A barrier, then one timed call: submission to return, on this rank. */
static const char* one_op(const struct perf_library* lib, const struct buffers* b,
                          const struct command* command, double* out_us) {
  const float* send = command->in_place ? b->recv : b->send;
  size_t count = command->count_elems;
  if (command->in_place) memcpy(b->recv, b->send, count * sizeof(float));
  const char* problem = barrier(lib);
  if (problem) return problem;
  double begin = now_us();
  problem = command->ops > 1 ? lib->many(send, b->recv, count, command->ops)
                             : lib->calls[command->collective](send, b->recv, count);
  *out_us = now_us() - begin;
  return problem;
}

static const char* warm_up(const struct perf_library* lib, const struct buffers* b,
                           const struct command* command, const struct perf_contents* c) {
  double ignored;
  perf_fill(c, b->send);
  const char* problem = one_op(lib, b, command, &ignored);
  if (!problem) problem = perf_check_all(c, b->recv);
  /* The check takes long enough for TCP to forget its window (slow start after idle): once more,
   * and small ops oftener: two ranks that were woken on one core need a while to be parted. */
  long more = command->count_elems <= kSmallElems ? kSmallWarmUps : 1 + command->iterations / 10;
  for (long i = 0; !problem && i < more; i++) {
    problem = one_op(lib, b, command, &ignored);
  }
  return problem;
}

static const char* measure(const struct perf_library* lib, const struct buffers* b,
                           const struct command* command, struct perf_contents* c,
                           struct outcome* out) {
  const char* problem = warm_up(lib, b, command, c);
  double cpu_before = cpu_seconds();
  uint64_t tcp_before = perf_tcp_bytes();
  for (long i = 0; !problem && i < command->iterations; i++) {
    perf_set_marks(c, b->send);
    problem = one_op(lib, b, command, &out->times_us[i]);
    if (!problem) problem = perf_check_some(c, b->recv);
  }
  out->cpu_seconds = cpu_seconds() - cpu_before;
  out->tcp_bytes = perf_tcp_bytes() - tcp_before;
  /* Nobody goes to sleep in read() while another rank still needs its help to finish. */
  return problem ? problem : barrier(lib);
}

static void* take(const struct perf_library* lib, size_t bytes) {
  if (lib->take) return lib->take(bytes);
  void* buffer = NULL;
  if (posix_memalign(&buffer, kAlignment, bytes)) return NULL;
  memset(buffer, 0, bytes);
  return buffer;
}

static void give_back(const struct perf_library* lib, void* buffer) {
  if (buffer && lib->take) lib->give_back(buffer);
  if (!lib->take) free(buffer);
}

static void release(const struct perf_library* lib, struct buffers* b) {
  if (lib->forget) lib->forget();
  give_back(lib, b->send);
  give_back(lib, b->recv);
  memset(b, 0, sizeof *b);
}

static int reserve(const struct perf_library* lib, struct buffers* b, size_t bytes) {
  if (bytes <= b->bytes) return 1;
  release(lib, b);
  void *send = take(lib, bytes), *recv = take(lib, bytes);
  if (!send || !recv) {
    give_back(lib, send);
    give_back(lib, recv);
    return 0;
  }
  *b = (struct buffers){send, recv, bytes};
  return 1;
}

static int understood(const struct perf_library* lib, const char* line, struct command* out) {
  char name[32];
  struct command c;
  if (sscanf(line, "run %31s %zu %ld %d %d", name, &c.count_elems, &c.iterations, &c.in_place,
             &c.ops) != 5) {
    return 0;
  }
  c.collective = perf_collective_named(name);
  if (c.collective == PERF_COLLECTIVES || !lib->calls[c.collective]) return 0;
  if (c.iterations < 1 || c.iterations > kMostIterations || c.ops < 1) return 0;
  if ((c.count_elems == 0) != (c.collective == PERF_BARRIER)) return 0;
  if (c.in_place && c.collective != PERF_ALLREDUCE) return 0;
  if (c.ops > 1 && (c.collective != PERF_ALLREDUCE || !lib->many)) return 0;
  *out = c;
  return 1;
}

static void print_outcome(FILE* out, const struct outcome* outcome, long iterations) {
  char congestion[32] = "none"; /* also where the launcher's connection is the only one */
  if (outcome->tcp_bytes > 0) perf_congestion_in_force(congestion, sizeof congestion);
  fprintf(out, "ok %.6f %" PRIu64 " %s", outcome->cpu_seconds, outcome->tcp_bytes, congestion);
  for (long i = 0; i < iterations; i++) fprintf(out, " %.2f", outcome->times_us[i]);
  fprintf(out, "\n");
}

static void answer(const struct perf_library* lib, FILE* out, const char* line, struct buffers* b,
                   uint64_t* serial) {
  struct command command;
  if (!understood(lib, line, &command)) {
    fprintf(out, "error not understood: %s", line);
    return;
  }
  struct outcome outcome = {0};
  outcome.times_us = calloc((size_t)command.iterations, sizeof *outcome.times_us);
  size_t bytes = perf_buffer_bytes(command.collective, command.count_elems, lib->world);
  if (!outcome.times_us || !reserve(lib, b, bytes)) {
    free(outcome.times_us);
    fprintf(out, "error out of memory\n");
    return;
  }
  struct perf_contents c = {command.collective,  lib->rank,   lib->world,
                            command.count_elems, *serial + 1, *serial + 1};
  const char* problem = measure(lib, b, &command, &c, &outcome);
  *serial = c.last;
  if (problem) {
    fprintf(out, "error %s\n", problem);
  } else {
    print_outcome(out, &outcome, command.iterations);
  }
  free(outcome.times_us);
  if (b->bytes > kKeptBytes) release(lib, b);
}

static int connect_to(const char* path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -1;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd >= 0 && connect(fd, (struct sockaddr*)&address, sizeof address) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

void perf_die_with_parent(void) { prctl(PR_SET_PDEATHSIG, SIGKILL); }

static void say_hello(const struct perf_library* library, FILE* out) {
  const char* between = "";
  fprintf(out, "hello %d %d ", library->rank, library->world);
  for (int i = 0; i < PERF_COLLECTIVES; i++) {
    if (!library->calls[i]) continue;
    fprintf(out, "%s%s", between, perf_collective_name((enum perf_collective)i));
    between = ",";
  }
  fprintf(out, "%s %s\n", library->many ? ",many" : "", library->name);
}

int perf_serve(const struct perf_library* library, const char* socket_name) {
  FILE *in = stdin, *out = stdout;
  if (strcmp(socket_name, "-") != 0) {
    int fd = connect_to(socket_name);
    in = fd < 0 ? NULL : fdopen(fd, "r");
    out = fd < 0 ? NULL : fdopen(dup(fd), "w");
    if (!in || !out) {
      fprintf(stderr, "perf: no driver at %s: %s\n", socket_name, strerror(errno));
      return 1;
    }
  }
  signal(SIGPIPE, SIG_IGN);
  say_hello(library, out);
  struct buffers buffers = {0};
  uint64_t serial = 0; /* the same on all ranks: they get the same commands */
  char line[128];
  while (fflush(out) == 0 && fgets(line, sizeof line, in)) {
    answer(library, out, line, &buffers, &serial);
  }
  release(library, &buffers);
  return 0;
}
