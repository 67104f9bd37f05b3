/* What checkpoints cost the steps beside them.  Every rank trains: computes, sums a gradient over
 * all ranks, updates its whole state.  Blocks of steps with one checkpoint each, begun in their
 * first step, and without any take turns, so that a machine that drifts does so for both.
 *
 *   rhizome run -n 2 -- build/release/bench/checkpoint FOLDER [STATE_MIB [COMPUTE_MS [STEPS
 * [PAIRS]]]]
 *
 * FOLDER: a new one, on the disk that is meant.  Rank 0 prints a line for each pair of blocks, and
 * one for all:
 *
 *   plain_ms, with_ms     a step of the block without, of the block with a checkpoint: the mean
 *   beside_ms, beside     steps while the copy was made or the file written: the mean, and how many
 *   price                 what these took beyond the other steps of the same block, as a share of a
 *                         block of such others.  Between two blocks the machine drifts; within one
 *                         much less
 *   stall_us, fence_us    of rhz_checkpoint, and of the wait for its copy at the end of the step
 *   cpu_ms                of rank 0's threads that copy and write: what load disturbs least.  The
 *                         kernel's own threads, which move pages to the disk, are not in it
 *   written_ms            until it was complete on all ranks.  Longer than a block: take more
 * STEPS, for some of the price is in no block */
#include <dirent.h>
#include <rhizome/rhizome.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { kGradientElements = 1 << 20, kMostPairs = 1000, kScratch = 8192 };

typedef struct settings {
  const char* folder;
  uint64_t state_bytes;
  double compute_ms;
  int steps, pairs;
} settings;

typedef struct trainer {
  const settings* set;
  rhz_comm* comm;
  rhz_view view;
  uint64_t *state, words, revision;
  float* gradient;
  uint64_t rounds;   /* of work, that take compute_ms */
  int writing;       /* a checkpoint was begun and is not complete */
  uint64_t began_ns; /* it */
  double stall_us, fence_us, written_ms, cpu_ms;
} trainer;

/* Of one block. */
typedef struct block {
  double mean_ms, beside_ms, price;
  int beside;
} block;

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int failed(const char* what) {
  fprintf(stderr, "checkpoint: %s: %s\n", what, rhz_last_error());
  return 1;
}

static float work(uint64_t rounds) {
  static float scratch[kScratch];
  for (uint64_t r = 0; r < rounds; ++r)
    for (int i = 0; i < kScratch; ++i) scratch[i] = scratch[i] * 0.999f + (float)(r & 7);
  return scratch[rounds % kScratch];
}

/* Alone on its core; a loaded machine makes the steps longer, for both kinds of blocks. */
static uint64_t calibrate(double compute_ms) {
  const uint64_t probe = 2000, begin = now_ns();
  volatile float sink = work(probe);
  (void)sink;
  const double ms = (double)(now_ns() - begin) / 1e6;
  return 1 + (uint64_t)(compute_ms / ms * (double)probe);
}

static rhz_status sum(trainer* t) {
  rhz_op* op = NULL;
  rhz_allreduce_params params = {.struct_size = sizeof params,
                                 .recv = t->gradient,
                                 .count_elems = kGradientElements,
                                 .dtype = RHZ_DTYPE_F32,
                                 .redop = RHZ_REDOP_AVG};
  rhz_status status = rhz_allreduce(t->comm, &params, &op);
  if (status == RHZ_OK) status = rhz_op_wait(op, 0, RHZ_WAIT_DEFAULT);
  rhz_op_release(op);
  return status;
}

/* So far, of the threads that the library copies and writes checkpoints on. */
static double writers_cpu_ms(void) {
  DIR* folder = opendir("/proc/self/task");
  double all_ms = 0;
  for (struct dirent* entry; folder && (entry = readdir(folder));) {
    char path[300], name[32] = "";
    unsigned long long ran_ns = 0;
    snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
    FILE* file = fopen(path, "r");
    if (!file) continue;
    const int ours = fgets(name, sizeof name, file) &&
                     (!strcmp(name, "rhz-checkpoint\n") || !strcmp(name, "rhz-ckpt-copy\n"));
    fclose(file);
    snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", entry->d_name);
    file = ours ? fopen(path, "r") : NULL;
    if (file && fscanf(file, "%llu", &ran_ns) == 1) all_ms += (double)ran_ns / 1e6;
    if (file) fclose(file);
  }
  if (folder) closedir(folder);
  return all_ms;
}

static int begin_checkpoint(trainer* t) {
  rhz_checkpoint_params params = {.struct_size = sizeof params,
                                  .folder = t->set->folder,
                                  .part = t->view.rank,
                                  .parts = t->view.world_size,
                                  .keep = 2};
  t->began_ns = now_ns();
  if (rhz_checkpoint(t->comm, &params)) return failed("rhz_checkpoint");
  t->stall_us = (double)(now_ns() - t->began_ns) / 1e3;
  t->writing = 1;
  return 0;
}

static int end_copy(trainer* t) {
  const uint64_t begin = now_ns();
  if (rhz_checkpoint_fence(t->comm, 0)) return failed("rhz_checkpoint_fence");
  t->fence_us = (double)(now_ns() - begin) / 1e3;
  return 0;
}

static int update(trainer* t) {
  if (rhz_state_begin_update(t->comm)) return failed("rhz_state_begin_update");
  for (uint64_t i = 0; i < t->words; ++i) t->state[i] += i;
  if (rhz_state_end_update(t->comm)) return failed("rhz_state_end_update");
  if (rhz_state_commit(t->comm, ++t->revision)) return failed("rhz_state_commit");
  return 0;
}

static int look(trainer* t) {
  if (!t->writing) return 0;
  const rhz_status status = rhz_checkpoint_poll(t->comm, NULL);
  if (status == RHZ_PENDING) return 0;
  if (status) return failed("a checkpoint");
  t->writing = 0;
  t->written_ms = (double)(now_ns() - t->began_ns) / 1e6;
  return 0;
}

static int run_block(trainer* t, int with, block* out) {
  double all_ms = 0, beside_ms = 0;
  const double cpu_ms = writers_cpu_ms();
  out->beside = 0;
  for (int step = 0; step < t->set->steps; ++step) {
    const uint64_t begin = now_ns();
    const int first = with && step == 0;
    if (first && begin_checkpoint(t)) return 1;
    const int beside = t->writing;
    volatile float sink = work(t->rounds);
    (void)sink;
    if (sum(t)) return failed("an all-reduce");
    if (first && end_copy(t)) return 1;
    if (update(t) || look(t)) return 1;
    const double ms = (double)(now_ns() - begin) / 1e6;
    all_ms += ms;
    beside_ms += beside ? ms : 0;
    out->beside += beside;
  }
  out->mean_ms = all_ms / t->set->steps;
  out->beside_ms = out->beside ? beside_ms / out->beside : 0;
  const int others = t->set->steps - out->beside;
  const double other_ms = others ? (all_ms - beside_ms) / others : 0;
  out->price = others ? all_ms / (other_ms * t->set->steps) - 1 : 0;
  if (t->writing && rhz_checkpoint_wait(t->comm, 0, NULL)) return failed("a checkpoint");
  if (with) t->cpu_ms = writers_cpu_ms() - cpu_ms;
  return look(t) || (sum(t) ? failed("an all-reduce") : 0); /* all are there */
}

static int compare(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

static int measure(trainer* t) {
  static double shares[kMostPairs], prices[kMostPairs];
  block warm, plain, with;
  if (run_block(t, 1, &warm)) return 1;
  for (int pair = 0; pair < t->set->pairs; ++pair) {
    const int first = pair % 2; /* each kind begins in turn */
    if (run_block(t, first, first ? &with : &plain)) return 1;
    if (run_block(t, !first, first ? &plain : &with)) return 1;
    shares[pair] = with.mean_ms / plain.mean_ms - 1;
    prices[pair] = with.price;
    if (t->view.rank == 0)
      printf(
          "plain_ms=%.3f with_ms=%.3f share=%.4f beside_ms=%.3f beside=%d price=%.4f "
          "stall_us=%.1f fence_us=%.1f cpu_ms=%.1f written_ms=%.1f\n",
          plain.mean_ms, with.mean_ms, shares[pair], with.beside_ms, with.beside, with.price,
          t->stall_us, t->fence_us, t->cpu_ms, t->written_ms);
  }
  qsort(shares, (size_t)t->set->pairs, sizeof *shares, compare);
  qsort(prices, (size_t)t->set->pairs, sizeof *prices, compare);
  if (t->view.rank == 0)
    printf(
        "ranks=%u state_bytes=%llu steps=%d pairs=%d share_median=%.4f share_least=%.4f "
        "share_most=%.4f price_median=%.4f price_least=%.4f price_most=%.4f\n",
        t->view.world_size, (unsigned long long)t->set->state_bytes, t->set->steps, t->set->pairs,
        shares[t->set->pairs / 2], shares[0], shares[t->set->pairs - 1],
        prices[t->set->pairs / 2], prices[0], prices[t->set->pairs - 1]);
  return 0;
}

static int train(trainer* t) {
  rhz_tensor tensor = {.struct_size = sizeof tensor,
                       .name = "state",
                       .data = t->state,
                       .count_elems = t->words,
                       .dtype = RHZ_DTYPE_U64};
  if (rhz_state_register(t->comm, &tensor)) return failed("rhz_state_register");
  if (rhz_comm_join(t->comm, 0) || rhz_comm_view(t->comm, &t->view)) return failed("rhz_comm_join");
  t->rounds = calibrate(t->set->compute_ms);
  if (update(t) || measure(t)) return 1;
  return rhz_comm_leave(t->comm, 0) ? failed("rhz_comm_leave") : 0;
}

int main(int argc, char** argv) {
  if (argc < 2) {
    fputs("usage: rhizome run -n N -- checkpoint FOLDER [STATE_MIB [COMPUTE_MS [STEPS [PAIRS]]]]\n",
          stderr);
    return 2;
  }
  settings set = {
      .folder = argv[1], .state_bytes = 256u << 20, .compute_ms = 100, .steps = 50, .pairs = 5};
  if (argc > 2) set.state_bytes = strtoull(argv[2], NULL, 10) << 20;
  if (argc > 3) set.compute_ms = strtod(argv[3], NULL);
  if (argc > 4) set.steps = atoi(argv[4]);
  if (argc > 5) set.pairs = atoi(argv[5]);
  if (set.state_bytes == 0 || set.compute_ms <= 0 || set.steps < 1 || set.pairs < 1 ||
      set.pairs > kMostPairs) {
    fputs(
        "checkpoint: STATE_MIB, COMPUTE_MS, STEPS and PAIRS are more than 0, PAIRS at most 1000\n",
        stderr);
    return 2;
  }
  trainer t = {.set = &set,
               .view = {.struct_size = sizeof t.view},
               .words = set.state_bytes / sizeof(uint64_t)};
  t.state = calloc(t.words, sizeof *t.state);
  t.gradient = calloc(kGradientElements, sizeof *t.gradient);
  rhz_comm_params params = {.struct_size = sizeof params};
  int bad = !t.state || !t.gradient;
  if (bad) fputs("checkpoint: no memory for the state\n", stderr);
  if (!bad) bad = rhz_comm_create(&params, &t.comm) ? failed("rhz_comm_create") : train(&t);
  rhz_comm_close(t.comm);
  free(t.state);
  free(t.gradient);
  return bad;
}
