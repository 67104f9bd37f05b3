/* A file of its own because <linux/tcp.h>, which knows the byte counters, and <netinet/tcp.h>
 * exclude each other. */
#include "bench/perf/congestion.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { kHighestDescriptor = 1024 }; /* the usual limit of a process */

void perf_congestion_in_force(char* out, size_t size) {
  uint64_t most = 0;
  snprintf(out, size, "none");
  for (int fd = 0; fd < kHighestDescriptor; fd++) {
    struct tcp_info info;
    char name[16] = "";
    socklen_t info_size = sizeof info, name_size = sizeof name;
    memset(&info, 0, sizeof info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_size) != 0) continue;
    if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &name_size) != 0) continue;
    uint64_t bytes = info.tcpi_bytes_acked + info.tcpi_bytes_received;
    if (bytes <= most) continue;
    most = bytes;
    snprintf(out, size, "%.15s", name);
  }
}
