/* What the kernel knows about this process's TCP connections. */
#ifndef RHZ_BENCH_PERF_CONGESTION_H
#define RHZ_BENCH_PERF_CONGESTION_H

#include <stddef.h>
#include <stdint.h>

/* Congestion control of the TCP connection that moved the most bytes; "none" without one.  A
 * library that takes no notice of the system's setting is found out. */
void perf_congestion_in_force(char* out, size_t size);

/* Bytes acknowledged and received on all open TCP connections. */
uint64_t perf_tcp_bytes(void);

#endif
