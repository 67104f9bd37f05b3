/* One rank of a library under comparison: everything but the calls of the library itself, so that
 * ours and the peers are measured by the same lines.
 *
 * The driver (perf_compare) talks to every rank over a connection of its own.  While another
 * library runs, a rank sleeps in read(): no rank waits for commands inside the library, which at
 * some peers means spinning.
 *
 *   rank → driver   hello RANK WORLD LIBRARY
 *   driver → rank   run BYTES ITERATIONS IN_PLACE
 *   rank → driver   ok CPU_SECONDS CONGESTION_CONTROL MICROSECONDS…   one time per iteration, of
 * this rank error TEXT driver → rank   end of file: leave
 */
#ifndef RHZ_BENCH_PERF_RANK_H
#define RHZ_BENCH_PERF_RANK_H

#include <stddef.h>

struct perf_library {
  const char* name; /* with the version */
  int rank;
  int world;
  /* NULL, or what went wrong; valid until the next call. */
  const char* (*barrier)(void);
  /* f32 sum.  send == recv: in place. */
  const char* (*allreduce)(const float* send, float* recv, size_t count_elems);
};

/* To be called first: this process dies with the one that started it. */
void perf_die_with_parent(void);

/* Serves commands until the driver hangs up.  socket_name: of the driver's abstract unix socket;
 * "-": standard input and output, for trying by hand.  Returns an exit status. */
int perf_serve(const struct perf_library* library, const char* socket_name);

#endif
