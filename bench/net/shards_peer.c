/* The keeper of a stage whose shards lie in the vaults of other hosts: what their rebuild takes when one of these is lost.
 * bench/net/shards.sh starts it, kills a vault when it says "protected", and reads its lines.
 *
 *   shards_peer STATE_BYTES HOSTS_THAT_MAY_DIE INTERFACE
 *
 *   protected   as many hosts may die as were asked for; us and bytes on the interface, of the last try
 *   rebuilt     from the moment at which it is told of the loss until the new places are in the log: microseconds, and the
 *               bytes that came and went by the interface meanwhile */
#include <rhizome/rhizome.h>
#include <rhizome/rhizome_state.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { kPatienceS = 120 }; /* for each line */

typedef struct moment {
  double us;
  unsigned long long received, sent;
} moment;

static unsigned long long counter(const char *interface, const char *name) {
  char path[256];
  unsigned long long bytes = 0;
  snprintf(path, sizeof path, "/sys/class/net/%s/statistics/%s", interface, name);
  FILE *file = fopen(path, "r");
  if (file && fscanf(file, "%llu", &bytes) != 1) bytes = 0;
  if (file) fclose(file);
  return bytes;
}

static moment now(const char *interface) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  const moment m = {1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec, counter(interface, "rx_bytes"),
                    counter(interface, "tx_bytes")};
  return m;
}

static void say(const char *what, moment from, moment to, const rhz_generation_info *g) {
  printf("%s us=%.0f received=%llu sent=%llu bytes=%llu k=%u m=%u placement=%u stands=%u\n", what, to.us - from.us,
         to.received - from.received, to.sent - from.sent, (unsigned long long)g->bytes, g->data_shards, g->parity_shards,
         g->placement, g->stands);
  fflush(stdout);
}

static rhz_generation_info generation(rhz_comm *comm) {
  rhz_generation_info info = {.struct_size = sizeof info};
  if (rhz_generation(comm, 0, &info)) memset(&info, 0, sizeof info);
  return info;
}

static void nap(void) {
  const struct timespec ms = {0, 1000000};
  nanosleep(&ms, NULL);
}

static int failed(const char *what) {
  fprintf(stderr, "shards_peer: %s: %s\n", what, rhz_last_error());
  return 1;
}

/* Each try is of a newer revision: vaults that have come meanwhile take part. */
static int protect(rhz_comm *comm, uint32_t stands, const char *interface) {
  const moment first = now(interface);
  for (uint64_t revision = 1;; ++revision) {
    const rhz_protect_params params = {.struct_size = sizeof params};
    if (rhz_state_commit(comm, revision) || rhz_snapshot(comm, NULL) || rhz_snapshot_fence(comm, 0)) return failed("a snapshot");
    const moment begin = now(interface);
    rhz_status status = rhz_protect(comm, &params);
    if (!status) status = rhz_protect_fence(comm, 0);
    const rhz_generation_info g = generation(comm);
    const moment end = now(interface);
    if (!status && g.revision == revision && g.stands >= stands && g.lost == 0) {
      say("protected", begin, end, &g);
      return 0;
    }
    if (end.us - first.us > 1e6 * kPatienceS) return failed("too few vaults, or they do not answer");
    nap();
  }
}

static int await_rebuild(rhz_comm *comm, const char *interface) {
  const moment protected = now(interface);
  moment lost = {0, 0, 0};
  for (;;) {
    const rhz_generation_info g = generation(comm);
    const moment m = now(interface);
    if (lost.us == 0 && g.lost > 0) lost = m;
    if (lost.us > 0 && g.lost == 0 && g.placement > 0) {
      say("rebuilt", lost, m, &g);
      return 0;
    }
    if (m.us - protected.us > 1e6 * kPatienceS) return failed("the shards were not rebuilt");
    nap();
  }
}

int main(int argc, char **argv) {
  if (argc != 4) return fprintf(stderr, "usage: shards_peer STATE_BYTES HOSTS_THAT_MAY_DIE INTERFACE\n"), 2;
  const uint64_t count = strtoull(argv[1], NULL, 10) / sizeof(uint64_t);
  uint64_t *state = malloc(count * sizeof *state), mixed = 1;
  rhz_comm *comm = NULL;
  const rhz_comm_params params = {.struct_size = sizeof params};
  if (!state) return fprintf(stderr, "shards_peer: no memory for the state\n"), 1;
  for (uint64_t i = 0; i < count; ++i) state[i] = mixed = mixed * 6364136223846793005u + 1442695040888963407u;
  rhz_tensor tensor = {.struct_size = sizeof tensor, .name = "state", .data = state, .count_elems = count, .dtype = RHZ_DTYPE_U64};
  int bad = rhz_comm_create(&params, &comm) ? failed("rhz_comm_create") : 0;
  if (!bad && (rhz_state_register(comm, &tensor) || rhz_comm_join(comm, 0))) bad = failed("join");
  if (!bad) bad = protect(comm, (uint32_t)strtoul(argv[2], NULL, 10), argv[3]) || await_rebuild(comm, argv[3]);
  rhz_comm_close(comm);
  free(state);
  return bad;
}
