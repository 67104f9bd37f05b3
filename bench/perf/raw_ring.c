/* What the machine gives a ring of N processes over TCP: each streams pieces to the next one and
 * reads from the previous one, a thread each way, with nothing around it.  Once it only receives,
 * once it adds every byte into a buffer larger than the cache.  A ring all-reduce adds half of the
 * bytes it receives, so their harmonic mean is its limit (as busbw).
 *
 *   perf_raw_ring N [MIB_PER_RANK]      prints: receive add memcpy-1-MiB memcpy-16-MiB
 * memcpy-64-MiB, in GB/s
 */
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

enum {
  kMostRanks = 64,
  kPieceBytes = 256 << 10, /* fits the second-level cache, as a segment of a library would */
  kSumBytes = 64 << 20     /* fits no cache */
};

struct stream {
  int fd;
  size_t bytes;
  float* piece;
};

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char* what) {
  perror(what);
  exit(1);
}

static void* filled(size_t bytes) {
  void* p = NULL;
  if (posix_memalign(&p, 4096, bytes)) die("memory");
  memset(p, 0x3f, bytes); /* an ordinary float, and every page present */
  return p;
}

/* A connected pair over loopback; the kernel picks the port. */
static void connect_pair(int* from, int* to) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  *from = socket(AF_INET, SOCK_STREAM, 0);
  if (listener < 0 || *from < 0) die("socket");
  if (bind(listener, (struct sockaddr*)&address, size) || listen(listener, 1)) die("listen");
  if (getsockname(listener, (struct sockaddr*)&address, &size)) die("getsockname");
  if (connect(*from, (struct sockaddr*)&address, size)) die("connect");
  *to = accept(listener, NULL, NULL);
  if (*to < 0) die("accept");
  close(listener);
}

static void* send_all(void* argument) {
  const struct stream* s = argument;
  size_t left = s->bytes;
  while (left > 0) {
    ssize_t sent = send(s->fd, s->piece, left < kPieceBytes ? left : kPieceBytes, MSG_NOSIGNAL);
    if (sent <= 0) die("send");
    left -= (size_t)sent;
  }
  return NULL;
}

static void receive_all(const struct stream* s, float* sum) {
  size_t offset = 0;
  for (size_t left = s->bytes; left > 0; left -= kPieceBytes) {
    size_t held = 0;
    while (held < kPieceBytes) {
      ssize_t got = recv(s->fd, (char*)s->piece + held, kPieceBytes - held, 0);
      if (got <= 0) die("recv");
      held += (size_t)got;
    }
    if (!sum) continue;
    float* to = sum + offset;
    for (size_t i = 0; i < kPieceBytes / sizeof(float); i++) to[i] += s->piece[i];
    offset = (offset + kPieceBytes / sizeof(float)) % (kSumBytes / sizeof(float));
  }
}

/* Reports that it is ready, waits for the end of file on `start`, streams, reports its seconds. */
static void rank_main(int to_next, int from_previous, size_t bytes, int add, int start,
                      int report) {
  struct stream out = {to_next, bytes, filled(kPieceBytes)};
  struct stream in = {from_previous, bytes, filled(kPieceBytes)};
  float* sum = add ? filled(kSumBytes) : NULL;
  double seconds = 0;
  char nothing;
  pthread_t sender;
  if (write(report, &seconds, sizeof seconds) != sizeof seconds) die("report");
  if (read(start, &nothing, 1) != 0) die("start");
  double begin = now_s();
  if (pthread_create(&sender, NULL, send_all, &out)) die("thread");
  receive_all(&in, sum);
  seconds = now_s() - begin;
  pthread_join(sender, NULL);
  if (write(report, &seconds, sizeof seconds) != sizeof seconds) die("report");
  exit(0);
}

static double slowest_report(int fd, int ranks) {
  double slowest = 0, seconds;
  for (int i = 0; i < ranks; i++) {
    if (read(fd, &seconds, sizeof seconds) != sizeof seconds) die("a rank failed");
    if (seconds > slowest) slowest = seconds;
  }
  return slowest;
}

/* GB/s per rank, by the slowest one. */
static double ring(int ranks, size_t bytes, int add) {
  int to_next[kMostRanks], from_previous[kMostRanks], start[2], report[2];
  if (pipe(start) || pipe(report)) die("pipe");
  for (int i = 0; i < ranks; i++) connect_pair(&to_next[i], &from_previous[(i + 1) % ranks]);
  for (int i = 0; i < ranks; i++) {
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child > 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(start[1]);
    close(report[0]);
    rank_main(to_next[i], from_previous[i], bytes, add, start[0], report[1]);
  }
  close(report[1]);
  for (int i = 0; i < ranks; i++) {
    close(to_next[i]);
    close(from_previous[i]);
  }
  slowest_report(report[0], ranks); /* all are ready */
  close(start[1]);
  double seconds = slowest_report(report[0], ranks);
  while (wait(NULL) > 0) continue;
  close(start[0]);
  close(report[0]);
  return (double)bytes / seconds / 1e9;
}

/* GB/s of one thread.  Best of several: the limit, not the usual case. */
static double copy_rate(size_t bytes) {
  void *from = filled(bytes), *to = filled(bytes);
  double best = 0;
  for (size_t i = 0; i < 3 + 64 * MIB / bytes; i++) {
    double begin = now_s();
    memcpy(to, from, bytes);
    __asm__ volatile("" : : "r"(to) : "memory"); /* the copy must happen */
    double rate = (double)bytes / (now_s() - begin) / 1e9;
    if (rate > best) best = rate;
  }
  free(from);
  free(to);
  return best;
}

int main(int argc, char** argv) {
  int ranks = argc > 1 ? atoi(argv[1]) : 0;
  size_t mib = argc > 2 ? (size_t)atol(argv[2]) : 512;
  if (ranks < 2 || ranks > kMostRanks || mib < 1) {
    fprintf(stderr, "usage: perf_raw_ring N [MIB_PER_RANK]\n");
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  double receive = ring(ranks, mib * MIB, 0);
  double add = ring(ranks, mib * MIB, 1);
  printf("%.3f %.3f %.2f %.2f %.2f\n", receive, add, copy_rate(MIB), copy_rate(16 * MIB),
         copy_rate(64 * MIB));
  return 0;
}
