/* One rank of a library under comparison: everything but the calls of the library itself, so that
 * ours and the peers are measured by the same lines.
 *
 * The driver (perf_compare) talks to every rank over a connection of its own.  While another
 * library runs, a rank sleeps in read(): no rank waits for commands inside the library, which at
 * some peers means spinning.
 *
 *   rank to driver   hello RANK WORLD COLLECTIVE,COLLECTIVE,… LIBRARY
 *   driver to rank   run COLLECTIVE COUNT_ELEMS ITERATIONS IN_PLACE OPS
 *   rank to driver   ok CPU_SECONDS TCP_BYTES CONGESTION_CONTROL MICROSECONDS…
 *                    or: error TEXT
 *   driver to rank   end of file: leave
 *
 * OPS > 1: that many all-reduces of COUNT_ELEMS / OPS each, all in flight at once, if it likes on several communicators; a rank that can
 * do that names the collective "many", too.  TCP_BYTES: sent and received by this rank, on the
 * sockets that it still had at the end.  MICROSECONDS: one time per iteration, of this rank.
 */
#ifndef RHZ_BENCH_PERF_RANK_H
#define RHZ_BENCH_PERF_RANK_H

#include <stddef.h>

#include "bench/perf/collective.h"

#ifdef __cplusplus
extern "C" {
#endif

/* NULL, or what went wrong; valid until the next call. */
typedef const char* (*perf_call)(const float* send, float* recv, size_t count_elems);

struct perf_library {
  const char* name; /* with the version */
  int rank;
  int world;
  /* By perf_collective; NULL: the library has none.  f32, sum, rank 0 is the root.  count_elems: of
   * the whole buffer for allreduce, broadcast and reduce, of one rank's block for the others.  send
   * == recv: in place, allreduce only. broadcast: rank 0 sends from `send` and need not fill
   * `recv`. */
  perf_call calls[PERF_COLLECTIVES];
  /* `ops` all-reduces of count_elems / ops each, in flight together; NULL: not this library. */
  const char* (*many)(const float* send, float* recv, size_t count_elems, int ops);
  /* The buffers are about to be freed; NULL: nothing remembers them. */
  void (*forget)(void);
  /* Zeroed buffers of the library's own kind, NULL when there is no memory, and their end.  NULL: ordinary ones. */
  void* (*take)(size_t bytes);
  void (*give_back)(void* buffer);
};

/* To be called first: this process dies with the one that started it. */
void perf_die_with_parent(void);

/* Serves commands until the driver hangs up.  socket_name: path of the driver's unix socket;
 * "-": standard input and output, for trying by hand.  Returns an exit status. */
int perf_serve(const struct perf_library* library, const char* socket_name);

#ifdef __cplusplus
}
#endif

#endif
