/* Trains the byte-level language model of char_lm.c cut into stages, each held by some replicas
 * (pipeline.h says how).  Peers may die and come back at any moment:
 *
 *   a replica dies          the step does without the micro-batches that it had in hand, the next
 *                           ones go over the replicas that are left; a newcomer in its slot gets
 *                           the stage's state from one of them
 *   all of a stage die      a newcomer attaches to the memory of the dead, or all go back to their
 *                           snapshots, where a vault keeps these; else it gets the weighted mean of
 *                           the stages beside it (CheckFree), or, at the ends of the pipeline, a
 *                           copy (CheckFree+)
 *   this one is out         (it stalled for too long, say) it joins again as a new peer */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline.h"

#define complain(...) kit_complain("pipeline_lm", __VA_ARGS__)

/* Without a step, in a row; the first comes at once, for the others may be able to go on, then the
 * pause grows by this much each time, up to the limit: about 95 s. */
enum { MAX_RETRIES = 145, RETRY_PAUSE_MS = 10, RETRY_PAUSE_LIMIT_MS = 1000 };
/* A slot is vacant again only once the coordinator has given its old holder up. */
enum { JOIN_ATTEMPTS = 20, JOIN_PAUSE_MS = 500 };

static rhz_status join(pipeline *p) {
  rhz_comm_params params = {
      .struct_size = sizeof(params),
      .coordinator = p->options->coordinator,
      .run_id = p->options->run_id,
  };
  rhz_status status = rhz_comm_create(&params, &p->comm);
  if (status != RHZ_OK) {
    p->comm = NULL;
    return note_error(p, status, rhz_last_error());
  }
  p->view = (rhz_view){.struct_size = sizeof(p->view)};
  status = take_memory(p);
  if (status == RHZ_OK) status = rhz_comm_join(p->comm, 0);
  if (status == RHZ_OK) status = rhz_comm_view(p->comm, &p->view);
  if (status == RHZ_OK) return RHZ_OK;
  note_error(p, status, rhz_last_error());
  forget_memory(p);
  rhz_comm_close(p->comm);
  p->comm = NULL;
  return status;
}

/* The seed's first number starts the run's random stream; what follows is for parameters. */
static uint64_t parameter_seed(const options *o, uint64_t *random) {
  uint64_t seed = o->seed;
  *random = lm_random(&seed);
  return seed;
}

int begin_at_start(pipeline *p) {
  uint64_t random, seed = parameter_seed(p->options, &random);
  memset(p->progress, 0, PROGRESS_WORDS * sizeof(*p->progress));
  p->progress[RANDOM] = random;
  p->attached = 0;
  return stage_state_start(&p->state, p->options, p->stage, seed);
}

/* The stage is known now, and a joiner has the run's progress. */
static int begin_stage(pipeline *p, uint64_t seed) {
  p->stage = p->view.slot / p->replicas;
  p->ready = !p->view.joined;
  if (p->ready) return begin_at_start(p);
  if (p->attached) check_attached(p);
  if (!p->attached) return stage_state_start(&p->state, p->options, p->stage, seed);
  stage_state_take(&p->state, p->options, p->stage);
  return 1;
}

/* Becomes a member: a founder with a stage as it is at the start, or a joiner without its state. */
static rhz_status enter_run(pipeline *p) {
  rhz_status status = RHZ_ERR_WORLD_FULL;
  uint64_t random, seed = parameter_seed(p->options, &random);
  for (int attempt = 0; attempt < JOIN_ATTEMPTS; attempt++) {
    if (attempt > 0) kit_sleep_ms(JOIN_PAUSE_MS);
    status = join(p);
    if (status != RHZ_ERR_WORLD_FULL && status != RHZ_ERR_EVICTED) break;
  }
  if (status != RHZ_OK) return status;
  if (p->view.slot >= p->slots || (!p->view.joined && p->view.world_size != p->slots)) {
    snprintf(p->error, sizeof(p->error),
             "the run has other slots than --stages %" PRIu32 " times --replicas %" PRIu32
             ": give the coordinator --world %" PRIu32,
             p->stages, p->replicas, p->slots);
    return RHZ_ERR_ARGUMENT;
  }
  p->grouped = 0;
  p->trip = 0;
  if (!begin_stage(p, seed) || !begin_shadow(p, seed))
    return note_error(p, RHZ_ERR_MEMORY, "out of memory");
  /* The members' next op, and so a joiner's first one, is the one after the boundary. */
  p->at_boundary = p->view.joined != 0;
  p->reported_epoch = p->view.epoch;
  kit_print_line("joined slot=%" PRIu32 " epoch=%" PRIu64 " world=%" PRIu32 " stage=%" PRIu32
                 " step=%" PRIu64 " synced=%" PRIu32 " parameters=%zu pid=%ld t_us=%" PRIu64,
                 p->view.slot, p->view.epoch, p->view.world_size, p->stage, p->progress[STEP],
                 p->view.joined, p->state.count, kit_pid(), kit_now_us());
  p->born = p->progress[STEP];
  if (p->view.joined) return RHZ_OK;
  status = commit(p);
  if (status == RHZ_OK) begin_snapshot(p);
  return status;
}

static void leave_run(pipeline *p) {
  close_groups(p);
  forget_memory(p);
  rhz_comm_close(p->comm);
  p->comm = NULL;
}

/* Deals with an error of a trip: RHZ_OK if training can go on. */
static rhz_status recover(pipeline *p, rhz_status status) {
  if (status == RHZ_ERR_STATE_LOST || ++p->retries > MAX_RETRIES) return status;
  if (status >= 300 && status < 400) {
    /* Every rank got the same error for the same op, so all of them begin the trip again. */
    kit_print_line("retry step=%" PRIu64 " status=%" PRId32 " error=\"%s\"", p->progress[STEP] + 1,
                   status, p->error);
    uint64_t pause_ms = (p->retries - 1) * RETRY_PAUSE_MS;
    kit_sleep_ms(pause_ms < RETRY_PAUSE_LIMIT_MS ? (double)pause_ms : RETRY_PAUSE_LIMIT_MS);
    return RHZ_OK;
  }
  if (status == RHZ_ERR_EVICTED || status == RHZ_ERR_ISOLATED || status == RHZ_ERR_DIVERGED) {
    kit_print_line("evicted step=%" PRIu64 " status=%" PRId32 " error=\"%s\"", p->progress[STEP],
                   status, p->error);
    leave_run(p);
    return enter_run(p);
  }
  return status;
}

static rhz_status print_final(pipeline *p) {
  uint8_t digest[16];
  char hex[2 * sizeof(digest) + 1];
  rhz_status status = rhz_state_digest(p->comm, digest);
  if (status != RHZ_OK) return note_error(p, status, rhz_last_error());
  for (size_t i = 0; i < sizeof(digest); i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
  kit_print_line("final step=%" PRIu64 " stage=%" PRIu32
                 " loss=%.17g first_loss=%.9g failed_ops=%" PRIu64 " digest=%s",
                 p->progress[STEP], p->stage, kit_value_of(p->progress[LAST_LOSS]),
                 kit_value_of(p->progress[FIRST_LOSS]), p->failed_ops, hex);
  return RHZ_OK;
}

/* Of those who are here. */
static int is_first(const pipeline *p) {
  uint32_t slot = 0;
  while (slot < p->slots && !is_here(p, slot)) slot++;
  return slot == p->slots || slot == p->view.slot;
}

static int run(pipeline *p) {
  int over = 0;
  rhz_status status = enter_run(p);
  if (status == RHZ_ERR_UNREACHABLE) {
    return complain("cannot reach the coordinator: %s; is `rhizome coordinator` running there?",
                    p->error);
  }
  if (status != RHZ_OK) {
    leave_run(p);
    return complain("cannot join: %s", p->error);
  }
  while (status == RHZ_OK && !over) {
    status = make_trip(p, &over);
    if (status != RHZ_OK) status = recover(p, status);
  }
  if (status == RHZ_OK) status = print_final(p);
  /* That nothing gives a stage back is found out by all, in the same words. */
  if (status != RHZ_OK && (status != RHZ_ERR_STATE_LOST || is_first(p))) {
    complain("after step %" PRIu64 ": %s (%s)", p->progress[STEP], p->error,
             rhz_status_text(status));
  }
  if (status == RHZ_OK) finish_checkpoints(p);
  close_groups(p);
  if (p->comm && rhz_comm_leave(p->comm, 0) != RHZ_OK)
    complain("left without a good-bye: %s", rhz_last_error()); /* the result stands */
  leave_run(p);
  if (status == RHZ_ERR_STATE_LOST) return EXIT_LOST;
  return status == RHZ_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int allocate(pipeline *p) {
  const options *o = p->options;
  lm_config config = stage_config(o, 1);
  size_t rows = (size_t)(o->batch * o->context);
  p->stages = (uint32_t)o->stages;
  p->replicas = (uint32_t)o->replicas;
  p->slots = p->stages * p->replicas;
  p->stream_bytes = rows * config.width * sizeof(lm_real);
  p->inputs = malloc(rows);
  p->targets = malloc(rows);
  p->progress = p->last_progress;
  int good = p->inputs && p->targets && stage_state_new(&p->state, o) && allocate_shadow(p);
  for (uint32_t r = 0; r < p->replicas && good; r++) {
    p->shares[r] = calloc(p->state.count, sizeof(lm_real)); /* costs nothing until it is used */
    good = p->shares[r] != NULL;
  }
  for (uint64_t m = 0; m < o->micro_batches; m++) {
    p->models[m] = lm_model_new(&config);
    good = good && p->models[m];
  }
  return good;
}

static void release(pipeline *p) {
  stage_state_free(&p->state);
  release_shadow(p);
  for (int r = 0; r < MAX_REPLICAS; r++) free(p->shares[r]);
  for (int m = 0; m < MAX_MICRO_BATCHES; m++) lm_model_free(p->models[m]);
  free(p->inputs);
  free(p->targets);
}

int main(int argc, char **argv) {
  options o = parse_options(argc, argv);
  lm_text all = {NULL, 0};
  pipeline p = {.options = &o, .text = &all};
  char error[LM_TEXT_ERROR_BYTES];
  int status = lm_text_load(&all, o.data, o.data_count, o.context, error) ? EXIT_SUCCESS
                                                                          : complain("%s", error);
  if (status == EXIT_SUCCESS && !allocate(&p)) status = complain("out of memory");
  if (status == EXIT_SUCCESS) status = run(&p);
  release(&p);
  free(all.bytes);
  free(o.data);
  return status;
}
