/* Trains the byte-level language model of char_lm.c cut into stages, each held by some replicas
 * (pipeline.h says how).  Peers may die and come back at any moment:
 *
 *   a replica dies          the step is made again, over the replicas that are left; a newcomer in
 *                           its slot gets the stage's state from one of them
 *   all of a stage die      a newcomer gets the weighted mean of the stages beside it (CheckFree),
 *                           or, at the ends of the pipeline, a copy (CheckFree+)
 *   this one is out         (it stalled for too long, say) it joins again as a new peer */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline.h"

#define complain(...) kit_complain("pipeline_lm", __VA_ARGS__)

enum { EXIT_USAGE = 2 };
/* Without a step, in a row; the pause grows by this much each time, up to the limit: about 95 s. */
enum { MAX_RETRIES = 100, RETRY_PAUSE_MS = 100, RETRY_PAUSE_LIMIT_MS = 1000 };
/* A slot is vacant again only once the coordinator has given its old holder up. */
enum { JOIN_ATTEMPTS = 20, JOIN_PAUSE_MS = 500 };

/* ------------------------------------------------------------------------------------ options */

static void print_help(void) {
  puts(
      "Trains a byte-level language model, cut into stages, with the other peers of a Rhizome "
      "run.\n"
      "\n"
      "usage: pipeline_lm [options]\n"
      "  --stages N               of the pipeline, 1 to 8 (default 4)\n"
      "  --replicas N             peers that have the same stage, 1 to 8 (default 1); the run has\n"
      "                           stages x replicas slots, slot = stage x replicas + replica\n"
      "  --layers N               of a stage; stages x layers: at most 8 (default 1)\n"
      "  --micro-batches N        a step, 1 to 64 (default 4); the replicas of a stage share them\n"
      "  --batch N                sequences in each (default 4)\n"
      "  --context N              bytes a sequence (default 64)\n"
      "  --order plain|swapped    swapped: odd micro-batches pass the first two stages, and the "
      "last\n"
      "                           two, the other way round, so that a lost end of the pipeline can "
      "be\n"
      "                           replaced by a copy; not with 3 stages (default plain)\n"
      "  --policy continue|replay after a death: go on with the replicas that are left, or wait "
      "for\n"
      "                           the replacement, so that the run ends with the bits of one "
      "without\n"
      "                           deaths, unless all of a stage died (default continue)\n"
      "  --weighting norm|clipped_norm|mean\n"
      "                           of the stages that a lost one is averaged from (default norm)\n"
      "  --data FILE...           text to train on (default: the files of\n"
      "                           " LM_TEXT_FOLDER
      ")\n"
      "  --steps N                stop after this step of the run (default 200)\n"
      "  --lr X                   learning rate (default 0.001)\n"
      "  --seed N                 of parameters and batches (default 1)\n"
      "  --coordinator HOST:PORT  (default $RHZ_COORDINATOR)\n"
      "  --run-id NAME            (default $RHZ_RUN_ID)\n"
      "  --log-every N            print a line every N steps (default 1)\n"
      "  --min-step-ms N          make a step take at least so long (default 0)\n"
      "  --help\n"
      "All peers are given the same options.\n"
      "\n"
      "example: four stages with two replicas each; kill any of the eight processes, or both of a "
      "stage\n"
      "  rhizome run -n 8 --restart -- pipeline_lm --replicas 2 --order swapped");
}

static void usage_error(const char *option, const char *problem) {
  complain("%s %s; see pipeline_lm --help", option, problem);
  exit(EXIT_USAGE);
}

/* The position of value among names; they end with NULL. */
static int parse_choice(const char *option, const char *value, const char *const *names) {
  for (int i = 0; names[i]; i++) {
    if (strcmp(value, names[i]) == 0) return i;
  }
  usage_error(option, "must be one of those that --help names");
  return 0;
}

static kit_parsed parse_number(options *o, const char *name, const char *value, char *problem) {
  const kit_number numbers[] = {
      {"--stages", &o->stages, 1, MAX_STAGES},
      {"--replicas", &o->replicas, 1, MAX_REPLICAS},
      {"--layers", &o->layers, 1, LM_MAX_LAYERS},
      {"--micro-batches", &o->micro_batches, 1, MAX_MICRO_BATCHES},
      {"--steps", &o->steps, 1, UINT64_C(1) << 40},
      {"--batch", &o->batch, 1, 1024},
      {"--context", &o->context, 1, 1024},
      {"--seed", &o->seed, 0, UINT64_MAX},
      {"--log-every", &o->log_every, 1, UINT64_C(1) << 40},
      {"--min-step-ms", &o->min_step_ms, 0, 3600 * 1000},
  };
  return kit_parse_number(numbers, sizeof(numbers) / sizeof(numbers[0]), name, value, problem);
}

/* In the order of the enums. */
static const char *const orders[] = {"plain", "swapped", NULL};
static const char *const policies[] = {"continue", "replay", NULL};
static const char *const weightings[] = {"norm", "clipped_norm", "mean", NULL};

static void parse_valued(options *o, const char *name, const char *value) {
  char problem[KIT_PROBLEM_BYTES] = "is no option";
  if (strcmp(name, "--coordinator") == 0) {
    o->coordinator = value;
  } else if (strcmp(name, "--run-id") == 0) {
    o->run_id = value;
  } else if (strcmp(name, "--order") == 0) {
    o->order = (order)parse_choice(name, value, orders);
  } else if (strcmp(name, "--policy") == 0) {
    o->policy = (policy)parse_choice(name, value, policies);
  } else if (strcmp(name, "--weighting") == 0) {
    o->weighting = (weighting)parse_choice(name, value, weightings);
  } else {
    kit_parsed parsed = strcmp(name, "--lr") == 0
                            ? kit_parse_rate(value, &o->learning_rate, problem)
                            : parse_number(o, name, value, problem);
    if (parsed != KIT_SET) usage_error(name, problem);
  }
}

static options parse_options(int argc, char **argv) {
  options o = {.stages = 4, .replicas = 1, .layers = 1, .micro_batches = 4};
  o.steps = 200, o.batch = 4, o.context = 64, o.seed = 1, o.log_every = 1, o.learning_rate = 1e-3;
  o.data = calloc((size_t)argc, sizeof(*o.data));
  if (!o.data) exit(complain("out of memory"));
  for (int i = 1; i < argc; i++) {
    const char *name = argv[i];
    if (strcmp(name, "--help") == 0) {
      print_help();
      exit(EXIT_SUCCESS);
    }
    if (i + 1 == argc) usage_error(name, "is no option, or lacks its value");
    if (strcmp(name, "--data") != 0) {
      parse_valued(&o, name, argv[++i]);
      continue;
    }
    while (i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0) o.data[o.data_count++] = argv[++i];
    if (o.data_count == 0) usage_error(name, "needs at least one file");
  }
  if (o.stages * o.layers > LM_MAX_LAYERS)
    usage_error("--layers", "times --stages must be at most 8");
  if (o.order == ORDER_SWAPPED && o.stages == 3)
    usage_error("--order", "cannot be swapped with 3 stages: the first pair and the last overlap");
  return o;
}

/* ------------------------------------------------------------------------------------ Rhizome */

static rhz_status note_error(pipeline *p, rhz_status status, const char *what) {
  snprintf(p->error, sizeof(p->error), "%s", what);
  return status;
}

static rhz_status finish_op(pipeline *p, rhz_status submitted, rhz_op *op, uint32_t wait_flags,
                            rhz_op_info *info) {
  rhz_status outcome = kit_finish_op(submitted, op, wait_flags, info, p->error);
  if (outcome != RHZ_OK) p->failed_ops++;
  return outcome;
}

/* Keeps the old view where there is none: the next op says why. */
static void refresh_view(pipeline *p) {
  rhz_view view = {.struct_size = sizeof(view)};
  if (rhz_comm_view(p->comm, &view) == RHZ_OK) p->view = view;
}

static rhz_status commit(pipeline *p) {
  rhz_status status = rhz_state_commit(p->comm, p->progress[STEP] + 1);
  /* No member any more: the next op says why, and that is where it is dealt with. */
  if (status == RHZ_ERR_STATE) return RHZ_OK;
  return status == RHZ_OK ? status : note_error(p, status, rhz_last_error());
}

/* The sum over a communicator, in place. */
static rhz_allreduce_params sum_of(void *data, uint64_t count, uint32_t dtype) {
  rhz_allreduce_params params = {.struct_size = sizeof(params)};
  params.recv = data;
  params.count_elems = count;
  params.dtype = dtype;
  params.redop = RHZ_REDOP_SUM;
  return params;
}

static uint64_t tag_of(const pipeline *p, uint64_t number) { return p->trip << 16 | number; }

rhz_status submit_send(pipeline *p, uint32_t slot, uint64_t number, const void *data, size_t bytes,
                       rhz_op **op) {
  rhz_message_params params = {.struct_size = sizeof(params)};
  params.send = data;
  params.bytes = bytes;
  params.tag = tag_of(p, number);
  params.peer_slot = slot;
  *op = NULL;
  return rhz_send(p->comm, &params, op);
}

int receive(pipeline *p, uint32_t slot, uint64_t number, void *data, size_t bytes) {
  rhz_op *op = NULL;
  rhz_op_info info;
  rhz_message_params params = {.struct_size = sizeof(params)};
  params.recv = data;
  params.bytes = bytes;
  params.tag = tag_of(p, number);
  params.peer_slot = slot;
  rhz_status submitted = rhz_recv(p->comm, &params, &op);
  return finish_op(p, submitted, op, RHZ_WAIT_DEFAULT, &info) == RHZ_OK && info.bytes == bytes;
}

/* ------------------------------------------------------------------------------------ a trip */

enum { IS_HERE = 1, IS_READY = 2, IS_GROUPED = 4, TRIP_SHIFT = 8 };

int is_here(const pipeline *p, uint32_t slot) { return (p->roll[slot] & IS_HERE) != 0; }
int is_ready(const pipeline *p, uint32_t slot) { return (p->roll[slot] & IS_READY) != 0; }

uint32_t holders_of(const pipeline *p, lm_part_name part, uint32_t stage,
                    uint32_t slots[MAX_SLOTS]) {
  uint32_t count = 0;
  for (uint32_t slot = 0; slot < p->slots; slot++) {
    uint32_t its_stage = slot / p->replicas;
    int holds = part == LM_LAYERS ? its_stage == stage : stage_holds(its_stage, p->stages, part);
    if (holds && is_ready(p, slot)) slots[count++] = slot;
  }
  return count;
}

/* Where joiners come in.  The registered state does not change while this is open. */
static rhz_status pass_boundary(pipeline *p) {
  rhz_op *op = NULL;
  rhz_op_info info;
  rhz_status submitted = rhz_admit(p->comm, &op);
  return finish_op(p, submitted, op, RHZ_WAIT_DEFAULT, &info);
}

/* Each peer gives its own word; from here on the roll, not the view, says who takes part. */
static rhz_status call_roll(pipeline *p) {
  rhz_op *op = NULL;
  rhz_op_info info;
  rhz_allreduce_params params = sum_of(p->roll, p->slots, RHZ_DTYPE_U64);
  refresh_view(p);
  memset(p->roll, 0, sizeof(p->roll));
  p->roll[p->view.slot] =
      IS_HERE | (p->ready ? IS_READY : 0u) | (p->grouped ? IS_GROUPED : 0u) | p->trip << TRIP_SHIFT;
  rhz_status submitted = rhz_allreduce(p->comm, &params, &op);
  rhz_status status = finish_op(p, submitted, op, RHZ_WAIT_DEFAULT, &info);
  if (status != RHZ_OK) return status;
  for (uint32_t slot = 0; slot < p->slots; slot++) {
    uint64_t trip = p->roll[slot] >> TRIP_SHIFT;
    p->trip = trip > p->trip ? trip : p->trip;
  }
  p->trip++;
  return RHZ_OK;
}

static void close_groups(pipeline *p) {
  for (int part = 0; part < LM_PARTS; part++) {
    rhz_comm_close(p->groups[part]);
    p->groups[part] = NULL;
  }
  p->grouped = 0;
}

/* Who enters is in no group: so all make them again. */
static rhz_status make_groups(pipeline *p) {
  close_groups(p);
  for (int part = 0; part < LM_PARTS; part++) {
    rhz_split_params params = {.struct_size = sizeof(params)};
    params.colour = part == LM_LAYERS ? (int32_t)p->stage : 0;
    if (!stage_holds(p->stage, p->stages, (lm_part_name)part)) params.colour = RHZ_SPLIT_NONE;
    params.key = (int32_t)p->view.slot;
    rhz_status status = rhz_comm_split(p->comm, &params, &p->groups[part]);
    if (status != RHZ_OK) {
      note_error(p, status, rhz_last_error());
      close_groups(p);
      return status;
    }
  }
  p->grouped = 1;
  return RHZ_OK;
}

/* Each part's gradient, over those who have it.  0: not from everybody who shares in the step. */
static int sum_gradients(pipeline *p) {
  rhz_op *ops[LM_PARTS] = {NULL};
  rhz_status submitted[LM_PARTS];
  uint32_t slots[MAX_SLOTS];
  int complete = 1;
  for (int part = 0; part < LM_PARTS; part++) {
    const lm_part range = p->state.parts[part];
    rhz_allreduce_params params =
        sum_of(p->state.gradient + range.offset, range.count, RHZ_DTYPE_F32);
    if (p->groups[part]) submitted[part] = rhz_allreduce(p->groups[part], &params, &ops[part]);
    if (p->groups[part] && submitted[part] != RHZ_OK)
      note_error(p, submitted[part], rhz_last_error());
  }
  for (int part = 0; part < LM_PARTS; part++) {
    rhz_op_info info;
    if (!p->groups[part]) continue;
    uint32_t expected = holders_of(p, (lm_part_name)part, p->stage, slots);
    if (finish_op(p, submitted[part], ops[part], RHZ_WAIT_DEFAULT, &info) != RHZ_OK ||
        info.contributors_min != expected)
      complete = 0;
  }
  return complete;
}

/* Of the whole run: losses[m] is given by one peer, the others give 0. */
typedef struct ballot {
  double against, in_favour[MAX_STAGES], losses_known, losses[MAX_MICRO_BATCHES];
} ballot;

/* RHZ_OK: all that are left, and someone of each stage, have what the update needs, and so has
 * everybody else: *loss is the step's. */
static rhz_status vote(pipeline *p, int complete, double *loss, rhz_op_info *info) {
  ballot b;
  rhz_op *op = NULL;
  rhz_allreduce_params params = sum_of(&b, sizeof(b) / sizeof(double), RHZ_DTYPE_F64);
  uint64_t count = p->options->micro_batches;
  memset(&b, 0, sizeof(b));
  b.against = complete ? 0 : 1;
  b.in_favour[p->stage] = complete ? 1 : 0;
  for (uint64_t m = 0; m < count; m++) {
    b.losses[m] = p->losses[m];
    b.losses_known += p->has_loss[m];
  }
  /* The last step is followed by a digest on stdout, which nobody can take back. */
  int is_last = p->progress[STEP] + 1 == p->options->steps;
  rhz_status submitted = rhz_allreduce(p->comm, &params, &op);
  rhz_status status =
      finish_op(p, submitted, op, is_last ? RHZ_WAIT_FINAL : RHZ_WAIT_DEFAULT, info);
  if (status != RHZ_OK) return status;
  int carried = b.against == 0 && b.losses_known == (double)count;
  for (uint32_t stage = 0; stage < p->stages; stage++) carried = carried && b.in_favour[stage] > 0;
  if (!carried) return note_error(p, RHZ_ERR_PEER_LOST, "a peer died in this step");
  *loss = 0;
  for (uint64_t m = 0; m < count; m++) *loss += b.losses[m];
  *loss /= (double)count;
  return RHZ_OK;
}

static void report_step(pipeline *p, double loss, double step_ms) {
  rhz_comm_publish(p->comm, "step", (double)p->progress[STEP]);
  rhz_comm_publish(p->comm, "loss", loss);
  rhz_comm_publish(p->comm, "stage", (double)p->stage);
  refresh_view(p);
  if (p->progress[STEP] % p->options->log_every != 0 && p->view.epoch == p->reported_epoch) return;
  p->reported_epoch = p->view.epoch;
  kit_print_line("step=%" PRIu64 " epoch=%" PRIu64 " world=%" PRIu32 " stage=%" PRIu32
                 " loss=%.4f step_ms=%.2f retries=%" PRIu64,
                 p->progress[STEP], p->view.epoch, p->view.world_size, p->stage, loss, step_ms,
                 p->retries);
}

static rhz_status train_step(pipeline *p) {
  double start = kit_now_ms(), loss;
  rhz_op_info info;
  uint64_t *progress = p->progress, step = progress[STEP] + 1;
  int complete = run_pass(p);
  complete = sum_gradients(p) && complete; /* in any case: others of a group wait for it */
  rhz_status status = vote(p, complete, &loss, &info);
  if (status != RHZ_OK) return status;
  stage_state_update(&p->state, p->options, step);
  if (step == 1) progress[FIRST_LOSS] = kit_bits_of(loss);
  progress[LAST_LOSS] = kit_bits_of(loss);
  progress[POSITION] += p->options->batch;
  lm_random(&progress[RANDOM]);
  progress[STEP] = step;
  status = commit(p);
  if (status != RHZ_OK) return status;
  report_step(p, loss, kit_now_ms() - start);
  p->retries = 0;
  kit_sleep_ms((double)p->options->min_step_ms - (kit_now_ms() - start));
  return RHZ_OK;
}

/* The first slot that the step has to wait for; p->slots: none. */
static uint32_t first_missing(const pipeline *p) {
  uint32_t slots[MAX_SLOTS];
  for (uint32_t slot = 0; slot < p->slots; slot++) {
    if (is_ready(p, slot)) continue;
    if (p->options->policy == POLICY_REPLAY ||
        holders_of(p, LM_LAYERS, slot / p->replicas, slots) == 0)
      return slot;
  }
  return p->slots;
}

/* *over: the run is, and this peer has its stage's state of the end. */
static rhz_status make_trip(pipeline *p, int *over) {
  int all_grouped = 1, all_ready = 1;
  rhz_status status = p->at_boundary ? RHZ_OK : pass_boundary(p);
  p->at_boundary = 0;
  if (status == RHZ_OK) status = call_roll(p);
  if (status != RHZ_OK) return status;
  for (uint32_t slot = 0; slot < p->slots; slot++) {
    if (!is_here(p, slot)) continue;
    all_grouped = all_grouped && (p->roll[slot] & IS_GROUPED);
    all_ready = all_ready && is_ready(p, slot);
  }
  status = check_stages(p);
  if (status == RHZ_OK && !all_grouped) status = make_groups(p);
  if (status != RHZ_OK) return status;
  if (!all_ready) {
    transfer_state(p);
    return RHZ_OK;
  }
  uint32_t missing = first_missing(p);
  if (missing < p->slots) {
    snprintf(p->error, sizeof(p->error), "slot %" PRIu32 " of stage %" PRIu32 " is vacant", missing,
             missing / p->replicas);
    return RHZ_ERR_WORLD_TOO_SMALL;
  }
  *over = p->progress[STEP] >= p->options->steps;
  return *over ? RHZ_OK : train_step(p);
}

/* ------------------------------------------------------------------------------------ the run */

static rhz_status join(pipeline *p) {
  rhz_comm_params params = {
      .struct_size = sizeof(params),
      .coordinator = p->options->coordinator,
      .run_id = p->options->run_id,
  };
  const rhz_tensor progress = {sizeof(progress), "progress",    p->progress,
                               PROGRESS_WORDS,   RHZ_DTYPE_U64, 0};
  rhz_status status = rhz_comm_create(&params, &p->comm);
  if (status != RHZ_OK) {
    p->comm = NULL;
    return note_error(p, status, rhz_last_error());
  }
  p->view = (rhz_view){.struct_size = sizeof(p->view)};
  status = rhz_state_register(p->comm, &progress);
  if (status == RHZ_OK) status = rhz_comm_join(p->comm, 0);
  if (status == RHZ_OK) status = rhz_comm_view(p->comm, &p->view);
  if (status == RHZ_OK) return RHZ_OK;
  note_error(p, status, rhz_last_error());
  rhz_comm_close(p->comm);
  p->comm = NULL;
  return status;
}

/* Becomes a member: a founder with a stage as it is at the start, or a joiner without its state. */
static rhz_status enter_run(pipeline *p) {
  rhz_status status = RHZ_ERR_WORLD_FULL;
  uint64_t seed = p->options->seed;
  uint64_t random = lm_random(&seed);
  if (p->progress[STEP] == 0) p->progress[RANDOM] = random;
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
  p->stage = p->view.slot / p->replicas;
  p->ready = !p->view.joined;
  p->grouped = 0;
  p->trip = 0;
  stage_state_free(&p->state);
  if (!stage_state_new(&p->state, p->options, p->stage, seed))
    return note_error(p, RHZ_ERR_MEMORY, "out of memory");
  /* The members' next op, and so a joiner's first one, is the one after the boundary. */
  p->at_boundary = p->view.joined != 0;
  p->reported_epoch = p->view.epoch;
  kit_print_line("joined slot=%" PRIu32 " epoch=%" PRIu64 " world=%" PRIu32 " stage=%" PRIu32
                 " step=%" PRIu64 " synced=%" PRIu32 " parameters=%zu",
                 p->view.slot, p->view.epoch, p->view.world_size, p->stage, p->progress[STEP],
                 p->view.joined, p->state.count);
  return p->view.joined ? RHZ_OK : commit(p);
}

static void leave_run(pipeline *p) {
  close_groups(p);
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
    uint64_t pause_ms = p->retries * RETRY_PAUSE_MS;
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
  if (status != RHZ_OK) {
    complain("after step %" PRIu64 ": %s (%s)", p->progress[STEP], p->error,
             rhz_status_text(status));
  } else {
    kit_print_line("final step=%" PRIu64 " stage=%" PRIu32
                   " loss=%.9g first_loss=%.9g failed_ops=%" PRIu64 " digest=%016" PRIx64,
                   p->progress[STEP], p->stage, kit_value_of(p->progress[LAST_LOSS]),
                   kit_value_of(p->progress[FIRST_LOSS]), p->failed_ops,
                   stage_state_digest(&p->state));
  }
  close_groups(p);
  if (p->comm && rhz_comm_leave(p->comm, 0) != RHZ_OK)
    complain("left without a good-bye: %s", rhz_last_error()); /* the result stands */
  leave_run(p);
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
  int good = p->inputs && p->targets;
  for (uint64_t m = 0; m < o->micro_batches; m++) {
    p->models[m] = lm_model_new(&config);
    good = good && p->models[m];
  }
  return good;
}

static void release(pipeline *p) {
  stage_state_free(&p->state);
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
