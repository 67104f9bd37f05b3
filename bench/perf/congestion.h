#ifndef RHZ_BENCH_PERF_CONGESTION_H
#define RHZ_BENCH_PERF_CONGESTION_H

#include <stddef.h>

/* Name of the congestion control on that TCP connection of this process which has carried the most
 * bytes: what is in force, whatever the library has set on its sockets.  "none" without a
 * connection. */
void perf_congestion_in_force(char* out, size_t size);

#endif
