/* A file of its own because <linux/tcp.h>, which knows the byte counters, and <netinet/tcp.h>
 * exclude each other. */
#include "bench/perf/congestion.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { kHighestDescriptor = 1024 }; /* the usual limit of a process */

/* 0 where fd is no TCP connection. */
static uint64_t bytes_of(int fd) {
  struct tcp_info info;
  socklen_t size = sizeof info;
  memset(&info, 0, sizeof info);
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_bytes_acked + info.tcpi_bytes_received;
}

void perf_congestion_in_force(char* out, size_t size) {
  uint64_t most = 0;
  snprintf(out, size, "none");
  for (int fd = 0; fd < kHighestDescriptor; fd++) {
    uint64_t bytes = bytes_of(fd);
    char name[16] = "";
    socklen_t name_size = sizeof name;
    if (bytes <= most) continue;
    if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &name_size) != 0) continue;
    most = bytes;
    snprintf(out, size, "%.15s", name);
  }
}

uint64_t perf_tcp_bytes(void) {
  uint64_t sum = 0;
  for (int fd = 0; fd < kHighestDescriptor; fd++) sum += bytes_of(fd);
  return sum;
}
