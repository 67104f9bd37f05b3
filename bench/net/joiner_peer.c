/* A trainer whose state changes in every step, as a member or as a joiner that comes later: what a joiner costs those who
 * train.  bench/net/joiner.sh starts them, and reads their lines.
 *
 *   joiner_peer member|joiner STATE_BYTES GRADIENT_BYTES COMPUTE_MS STEPS_BEFORE_THE_END WORLD SHARE FOLLOWS
 *
 * A step: the program sleeps where it would compute, then an all-reduce, then every block in the first SHARE percent of the state changes; a commit and a
 * boundary (rhz_admit) behind it.  Members go on until the world has WORLD ranks, and for so many steps more.  FOLLOWS 1: members record their
 * gradients for the joiner, which makes their updates too, by the same rule. */
#include <rhizome/rhizome.h>
#include <rhizome/rhizome_state.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { kChangeEvery = 16384 }; /* floats: four in each block that has a digest */

struct trainer {
  rhz_comm *comm;
  float *state, *gradient;
  uint64_t state_count, gradient_count, revision;
  unsigned compute_ms, share, follows;
  double record_us; /* of the newest step */
};

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

static rhz_status finish(rhz_status submitted, rhz_op **op) {
  const rhz_status status = submitted ? submitted : rhz_op_wait(*op, 0, RHZ_WAIT_DEFAULT);
  if (!submitted) rhz_op_release(*op);
  return status;
}

/* As an optimizer's: of state and gradient alone. */
static int update(uint64_t step, const void *gradient, uint64_t bytes, void *context) {
  const struct trainer *t = context;
  const float *sums = gradient;
  const uint64_t sum_count = bytes / sizeof(float), count = t->state_count / 100 * t->share;
  for (uint64_t i = 0; i < count; i += kChangeEvery) t->state[i] += (float)step + sums[i % sum_count];
  return 0;
}

static rhz_status train(struct trainer *t) {
  const struct timespec compute = {t->compute_ms / 1000, (long)(t->compute_ms % 1000) * 1000000};
  nanosleep(&compute, NULL);
  rhz_op *op = NULL;
  rhz_allreduce_params reduce = {.struct_size = sizeof reduce, .send = t->gradient, .recv = t->gradient,
                                 .count_elems = t->gradient_count, .dtype = RHZ_DTYPE_F32, .redop = RHZ_REDOP_SUM};
  rhz_status status = finish(rhz_allreduce(t->comm, &reduce, &op), &op);
  const uint64_t next = t->revision + 1, bytes = t->gradient_count * sizeof(float);
  const double reduced = now_us();
  if (!status && t->follows) status = rhz_sync_record(t->comm, next, t->gradient, bytes);
  t->record_us = now_us() - reduced;
  if (status) return status;
  (void)update(next, t->gradient, bytes, t);
  t->revision = next;
  return rhz_state_commit(t->comm, next);
}

/* One step and the boundary behind it, as a line. */
static rhz_status step(struct trainer *t, uint32_t *world) {
  rhz_op *op = NULL;
  const double begin = now_us();
  rhz_status status = train(t);
  const double trained = now_us();
  if (!status) status = finish(rhz_admit(t->comm, &op), &op);
  const double admitted = now_us();
  rhz_view view = {.struct_size = sizeof view};
  rhz_sync_info info = {.struct_size = sizeof info};
  if (!status) status = rhz_comm_view(t->comm, &view);
  if (!status) status = rhz_sync_info_get(t->comm, &info);
  if (status) return status;
  printf("step slot=%u begin_us=%.0f us=%.0f boundary_us=%.0f record_us=%.0f world_before=%u world=%u copies=%u served=%llu\n", view.slot,
         begin, trained - begin, admitted - trained, t->record_us, *world, view.world_size, info.copies,
         (unsigned long long)info.served_bytes);
  *world = view.world_size;
  return RHZ_OK;
}

static rhz_status join(struct trainer *t, uint32_t *world) {
  const rhz_tensor tensor = {.struct_size = sizeof tensor, .name = "state", .data = t->state,
                             .count_elems = t->state_count, .dtype = RHZ_DTYPE_F32};
  rhz_status status = rhz_state_register(t->comm, &tensor);
  const double begin = now_us();
  if (!status && t->follows) status = rhz_sync_follow(t->comm, update, t);
  if (!status) status = rhz_comm_join(t->comm, 0);
  rhz_view view = {.struct_size = sizeof view};
  rhz_sync_info info = {.struct_size = sizeof info};
  if (!status) status = rhz_comm_view(t->comm, &view);
  if (!status) status = rhz_sync_info_get(t->comm, &info);
  if (status) return status;
  printf("joined us=%.0f bulk_bytes=%llu bulk_us=%llu rest_bytes=%llu rest_us=%llu equal_bytes=%llu donors_lost=%u updates=%llu update_bytes=%llu\n",
         now_us() - begin, (unsigned long long)info.bulk_bytes, (unsigned long long)info.bulk_us,
         (unsigned long long)info.rest_bytes, (unsigned long long)info.rest_us,
         (unsigned long long)info.equal_bytes, info.donors_lost, (unsigned long long)info.updates,
         (unsigned long long)info.update_bytes);
  t->revision = view.revision;
  *world = view.world_size;
  return RHZ_OK;
}

static rhz_status run(struct trainer *t, unsigned last_steps, uint32_t whole) {
  uint32_t world = 0;
  rhz_status status = join(t, &world);
  while (!status && world < whole) status = step(t, &world);
  for (unsigned i = 0; !status && i < last_steps; ++i) status = step(t, &world);
  return status;
}

int main(int argc, char **argv) {
  if (argc != 9) {
    fprintf(stderr, "usage: joiner_peer member|joiner STATE_BYTES GRADIENT_BYTES COMPUTE_MS LAST_STEPS WORLD SHARE FOLLOWS\n");
    return 2;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  struct trainer t = {.state_count = strtoull(argv[2], NULL, 10) / sizeof(float),
                      .gradient_count = strtoull(argv[3], NULL, 10) / sizeof(float),
                      .compute_ms = (unsigned)atoi(argv[4]),
                      .share = (unsigned)atoi(argv[7]),
                      .follows = (unsigned)atoi(argv[8])};
  t.state = malloc(t.state_count * sizeof(float));
  t.gradient = malloc(t.gradient_count * sizeof(float));
  if (!t.state || !t.gradient) return 1;
  const float value = strcmp(argv[1], "member") == 0 ? 1 : 2; /* a joiner has nothing of it */
  for (uint64_t i = 0; i < t.state_count; ++i) t.state[i] = value;
  for (uint64_t i = 0; i < t.gradient_count; ++i) t.gradient[i] = 0;
  const rhz_comm_params params = {.struct_size = sizeof params};
  rhz_status status = rhz_comm_create(&params, &t.comm);
  if (!status) status = run(&t, (unsigned)atoi(argv[5]), (uint32_t)atoi(argv[6]));
  if (status) fprintf(stderr, "joiner_peer: %s: %s\n", argv[1], rhz_last_error());
  rhz_comm_close(t.comm);
  free(t.state);
  free(t.gradient);
  return status ? 1 : 0;
}
