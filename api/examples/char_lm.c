/* Trains a byte-level language model (char_lm_model.h) data-parallel over Rhizome.
 *
 * Each peer computes gradients of its own part of the text; one all-reduce averages them, and every
 * peer applies the same update.  Peers may die, stall and come back at any moment:
 *
 *   a peer dies        the all-reduce in flight ends with the average over those who are left
 *   a peer comes       rhz_admit lets it in between two steps, with the members' state; where that is
 *                      large, the members train while it pulls, and it makes their steps since
 *   this one is out    (it stalled for too long, say) it joins again as a new peer */
#include <inttypes.h>
#include <rhizome/rhizome.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "char_lm_model.h"
#include "char_lm_text.h"
#include "example_kit.h"

#define complain(...) kit_complain("char_lm", __VA_ARGS__)

enum { WIDTH = 128, HEADS = 4, LAYERS = 2, WARMUP_STEPS = 20 };
/* Of one step, in a row; the pause grows by this much each time, up to the limit: about 95 s. */
enum { MAX_RETRIES = 100, RETRY_PAUSE_MS = 100, RETRY_PAUSE_LIMIT_MS = 1000 };
/* A slot is vacant again only once the coordinator has given its old holder up. */
enum { REJOIN_ATTEMPTS = 20, REJOIN_PAUSE_MS = 500 };
static const double max_gradient_norm = 1.0;

/* What a joiner needs besides parameters and moments: registered as one tensor, so that it is
 * synced and part of the digest. */
enum {
  STEP,       /* steps done */
  RANDOM,     /* state of the random stream; one number a step */
  POSITION,   /* windows of text that each slot has drawn */
  FIRST_LOSS, /* of the run's first step and of its last one: bits of a double */
  LAST_LOSS,
  PROGRESS_WORDS
};

typedef struct options {
  const char **data; /* paths; none: the files of LM_TEXT_FOLDER */
  size_t data_count;
  uint64_t steps, batch, context, seed, log_every, log_ops, min_step_ms;
  double learning_rate;
  const char *coordinator, *run_id; /* NULL: from the environment */
} options;

typedef struct trainer {
  const options *options;
  const lm_text *text;
  lm_model *model;
  size_t parameter_count;
  lm_real *parameters, *first_moment, *second_moment; /* [parameter_count] each */
  lm_real *gradient;         /* [parameter_count + 1]: the last element is the loss */
  uint8_t *inputs, *targets; /* [batch * context] */
  uint64_t progress[PROGRESS_WORDS];
  rhz_comm *comm;
  rhz_view view;
  int at_boundary; /* this peer has just come in through a boundary, where the members are too */
  uint64_t reported_epoch, failed_ops, retries;
  char error[KIT_ERROR_BYTES]; /* of the last failed call */
} trainer;

/* ------------------------------------------------------------------------------------ options */

static void print_help(void) {
  puts(
      "Trains a byte-level language model together with the other peers of a Rhizome run.\n"
      "\n"
      "usage: char_lm [options]\n"
      "  --data FILE...           text to train on (default: the files of\n"
      "                           " LM_TEXT_FOLDER
      ")\n"
      "  --steps N                stop after this step of the run (default 200)\n"
      "  --batch N                sequences a step and peer (default 4)\n"
      "  --context N              bytes a sequence; same on all peers (default 64)\n"
      "  --lr X                   learning rate (default 0.001)\n"
      "  --seed N                 of parameters and batches (default 1)\n"
      "  --coordinator HOST:PORT  (default $RHZ_COORDINATOR)\n"
      "  --run-id NAME            (default $RHZ_RUN_ID)\n"
      "  --log-every N            print a line every N steps (default 1); steps that met a "
      "rebuild\n"
      "                           or a new view are always printed\n"
      "  --log-ops N              1: print a line when the all-reduce of a step begins (default 0)\n"
      "  --min-step-ms N          make a step take at least so long (default 0)\n"
      "  --help\n"
      "\n"
      "example: two peers on this machine\n"
      "  rhizome coordinator --listen 127.0.0.1:7400 --world 2 &\n"
      "  char_lm --coordinator 127.0.0.1:7400 --steps 100 &\n"
      "  char_lm --coordinator 127.0.0.1:7400 --steps 100");
}

static void set_option(void *options, const char *name, const char *value);
static const kit_program program = {"char_lm", print_help, set_option};

static void set_option(void *into, const char *name, const char *value) {
  options *o = into;
  const kit_number numbers[] = {
      {"--steps", &o->steps, 1, UINT64_C(1) << 40},
      {"--batch", &o->batch, 1, 1024},
      {"--context", &o->context, 1, 1024},
      {"--seed", &o->seed, 0, UINT64_MAX},
      {"--log-every", &o->log_every, 1, UINT64_C(1) << 40},
      {"--log-ops", &o->log_ops, 0, 1},
      {"--min-step-ms", &o->min_step_ms, 0, 3600 * 1000},
  };
  char problem[KIT_PROBLEM_BYTES] = "is no option";
  if (strcmp(name, "--coordinator") == 0) {
    o->coordinator = value;
  } else if (strcmp(name, "--run-id") == 0) {
    o->run_id = value;
  } else {
    kit_parsed parsed =
        strcmp(name, "--lr") == 0
            ? kit_parse_rate(value, &o->learning_rate, problem)
            : kit_parse_number(numbers, sizeof(numbers) / sizeof(numbers[0]), name, value, problem);
    if (parsed != KIT_SET) kit_usage_error(&program, name, problem);
  }
}

static options parse_options(int argc, char **argv) {
  options o = {.steps = 200, .batch = 4, .context = 64, .seed = 1, .log_every = 1};
  o.learning_rate = 1e-3;
  kit_parse_options(&program, argc, argv, &o, &o.data, &o.data_count);
  return o;
}

/* ------------------------------------------------------------------------------------ one step */

static void sample_batch(trainer *t) {
  lm_text_sample(t->text, t->view.slot, t->progress[POSITION], t->progress[RANDOM],
                 (size_t)t->options->batch, (size_t)t->options->context, t->inputs, t->targets);
}

/* Must leave the same bits on every peer: it uses nothing but what they share. */
static void apply_update(trainer *t) {
  uint64_t *progress = t->progress;
  uint64_t step = progress[STEP] + 1;
  double loss = (double)t->gradient[t->parameter_count];
  double warmth = step < WARMUP_STEPS ? (double)step / WARMUP_STEPS : 1.0;
  lm_clip(t->gradient, t->parameter_count, max_gradient_norm);
  lm_adamw(t->model, t->parameters, t->gradient, t->first_moment, t->second_moment, step,
           warmth * t->options->learning_rate);
  if (step == 1) progress[FIRST_LOSS] = kit_bits_of(loss);
  progress[LAST_LOSS] = kit_bits_of(loss);
  progress[POSITION] += t->options->batch;
  lm_random(&progress[RANDOM]);
  progress[STEP] = step;
}

/* ------------------------------------------------------------------------------------ Rhizome */

static rhz_status finish_op(trainer *t, rhz_status submitted, rhz_op *op, uint32_t wait_flags,
                            rhz_op_info *info) {
  rhz_status outcome = kit_finish_op(submitted, op, wait_flags, info, t->error);
  if (outcome != RHZ_OK) t->failed_ops++;
  return outcome;
}

/* The revision of the registered state: of the initial one 1, and one more for each step. */
static rhz_status commit(trainer *t) {
  return kit_commit(t->comm, t->progress[STEP] + 1, t->error);
}

static void report_step(trainer *t, const rhz_op_info *info) {
  double op_ms = (double)(info->wait_us + info->run_us + info->release_us) / 1e3;
  double loss = kit_value_of(t->progress[LAST_LOSS]);
  rhz_comm_publish(t->comm, "step", (double)t->progress[STEP]);
  rhz_comm_publish(t->comm, "loss", loss);
  rhz_comm_publish(t->comm, "op_ms", op_ms);
  if (t->progress[STEP] % t->options->log_every != 0 && info->rebuilds == 0 &&
      t->view.epoch == t->reported_epoch)
    return;
  t->reported_epoch = t->view.epoch;
  kit_print_line("step=%" PRIu64 " epoch=%" PRIu64 " world=%" PRIu32
                 " loss=%.4f op_ms=%.2f rebuilds=%" PRIu32,
                 t->progress[STEP], t->view.epoch, t->view.world_size, loss, op_ms, info->rebuilds);
}

/* What the members recorded behind an all-reduce, for a joiner that has their state from before. */
static int follow_update(uint64_t revision, const void *gradient, uint64_t bytes, void *context) {
  trainer *t = context;
  if (revision != t->progress[STEP] + 2 || bytes != (t->parameter_count + 1) * sizeof(lm_real))
    return 1;
  memcpy(t->gradient, gradient, (size_t)bytes);
  apply_update(t);
  return 0;
}

/* Where joiners come in.  The registered state does not change while this is open. */
static rhz_status pass_boundary(trainer *t) {
  rhz_op *op = NULL;
  rhz_op_info info;
  rhz_status submitted = rhz_admit(t->comm, &op);
  rhz_status status = finish_op(t, submitted, op, RHZ_WAIT_DEFAULT, &info);
  if (status == RHZ_OK) kit_refresh_view(t->comm, &t->view);
  return status;
}

/* Gradients and loss in one op; on failure the gradient is lost and the state is untouched. */
static rhz_status train_step(trainer *t) {
  double start = kit_now_ms();
  rhz_op *op = NULL;
  rhz_op_info info;
  sample_batch(t);
  t->gradient[t->parameter_count] =
      lm_loss(t->model, t->parameters, t->inputs, t->targets, t->gradient);
  rhz_allreduce_params average = {
      .struct_size = sizeof(average),
      .recv = t->gradient,
      .count_elems = t->parameter_count + 1,
      .dtype = sizeof(lm_real) == sizeof(double) ? RHZ_DTYPE_F64 : RHZ_DTYPE_F32,
      .redop = RHZ_REDOP_AVG,
  };
  /* The last step is followed by a digest on stdout, which nobody can take back. */
  int is_last = t->progress[STEP] + 1 == t->options->steps;
  if (t->options->log_ops) kit_print_line("reduces step=%" PRIu64, t->progress[STEP] + 1);
  rhz_status submitted = rhz_allreduce(t->comm, &average, &op);
  rhz_status status =
      finish_op(t, submitted, op, is_last ? RHZ_WAIT_FINAL : RHZ_WAIT_DEFAULT, &info);
  if (status != RHZ_OK) return status;
  status = rhz_sync_record(t->comm, t->progress[STEP] + 2, t->gradient,
                           (t->parameter_count + 1) * sizeof(lm_real));
  if (status != RHZ_OK) return kit_note_error(status, t->error);
  apply_update(t);
  status = commit(t);
  if (status != RHZ_OK) return status;
  kit_refresh_view(t->comm, &t->view); /* a rebuild changes it */
  report_step(t, &info);
  kit_sleep_ms((double)t->options->min_step_ms - (kit_now_ms() - start));
  return RHZ_OK;
}

static rhz_status register_state(trainer *t) {
  const uint32_t real = sizeof(lm_real) == sizeof(double) ? RHZ_DTYPE_F64 : RHZ_DTYPE_F32;
  const rhz_tensor tensors[] = {
      {sizeof(rhz_tensor), "parameters", t->parameters, t->parameter_count, real, 0},
      {sizeof(rhz_tensor), "adamw/first_moment", t->first_moment, t->parameter_count, real, 0},
      {sizeof(rhz_tensor), "adamw/second_moment", t->second_moment, t->parameter_count, real, 0},
      {sizeof(rhz_tensor), "progress", t->progress, PROGRESS_WORDS, RHZ_DTYPE_U64, 0},
  };
  for (size_t i = 0; i < sizeof(tensors) / sizeof(tensors[0]); i++) {
    rhz_status status = rhz_state_register(t->comm, &tensors[i]);
    if (status != RHZ_OK) return status;
  }
  return RHZ_OK;
}

/* Becomes a member: a founder with its own state, or a joiner with the members'. */
static rhz_status enter_run(trainer *t) {
  rhz_comm_params params = {
      .struct_size = sizeof(params),
      .coordinator = t->options->coordinator,
      .run_id = t->options->run_id,
  };
  rhz_status status = rhz_comm_create(&params, &t->comm);
  if (status != RHZ_OK) {
    t->comm = NULL;
    return kit_note_error(status, t->error);
  }
  t->view = (rhz_view){.struct_size = sizeof(t->view)};
  rhz_sync_info sync = {.struct_size = sizeof(sync)};
  status = register_state(t);
  if (status == RHZ_OK) status = rhz_sync_follow(t->comm, follow_update, t);
  if (status == RHZ_OK) status = rhz_comm_join(t->comm, 0);
  if (status == RHZ_OK) status = rhz_comm_view(t->comm, &t->view);
  if (status == RHZ_OK) status = rhz_sync_info_get(t->comm, &sync);
  if (status != RHZ_OK) {
    kit_note_error(status, t->error);
    rhz_comm_close(t->comm);
    t->comm = NULL;
    return status;
  }
  /* The members' next op, and so a joiner's first one, is the one after the boundary. */
  t->at_boundary = t->view.joined != 0;
  t->reported_epoch = t->view.epoch;
  kit_print_line("joined slot=%" PRIu32 " epoch=%" PRIu64 " world=%" PRIu32 " step=%" PRIu64
                 " synced=%" PRIu32 " updates=%" PRIu64 " rest_bytes=%" PRIu64 " parameters=%zu",
                 t->view.slot, t->view.epoch, t->view.world_size, t->progress[STEP], t->view.joined,
                 sync.updates, sync.rest_bytes, t->parameter_count);
  return t->view.joined ? RHZ_OK : commit(t);
}

/* Joins again as a new peer.  The old slot may count as taken for a while. */
static rhz_status reenter_run(trainer *t) {
  rhz_status status = RHZ_ERR_WORLD_FULL;
  rhz_comm_close(t->comm);
  t->comm = NULL;
  for (int attempt = 0; attempt < REJOIN_ATTEMPTS; attempt++) {
    if (attempt > 0) kit_sleep_ms(REJOIN_PAUSE_MS);
    status = enter_run(t);
    if (status != RHZ_ERR_WORLD_FULL && status != RHZ_ERR_EVICTED) break;
  }
  return status;
}

/* ------------------------------------------------------------------------------------ the run */

/* Deals with an error of a step: RHZ_OK if training can go on. */
static rhz_status recover(trainer *t, rhz_status status) {
  if (++t->retries > MAX_RETRIES) return status;
  if (status >= 300 && status < 400) {
    /* Every rank got the same error for the same op, so all of them begin the step again. */
    kit_print_line("retry step=%" PRIu64 " status=%" PRId32 " error=\"%s\"", t->progress[STEP] + 1,
                   status, t->error);
    t->at_boundary = 0;
    uint64_t pause_ms = t->retries * RETRY_PAUSE_MS;
    kit_sleep_ms(pause_ms < RETRY_PAUSE_LIMIT_MS ? (double)pause_ms : RETRY_PAUSE_LIMIT_MS);
    return RHZ_OK;
  }
  if (status == RHZ_ERR_EVICTED || status == RHZ_ERR_ISOLATED || status == RHZ_ERR_DIVERGED) {
    kit_print_line("evicted step=%" PRIu64 " status=%" PRId32 " error=\"%s\"", t->progress[STEP],
                   status, t->error);
    return reenter_run(t);
  }
  return status;
}

static rhz_status train(trainer *t) {
  for (;;) {
    /* After the last step too: who waits there comes in, finds nothing left to do, and leaves. */
    rhz_status status = t->at_boundary ? RHZ_OK : pass_boundary(t);
    if (status == RHZ_OK) {
      if (t->progress[STEP] >= t->options->steps) return RHZ_OK;
      t->at_boundary = 0;
      status = train_step(t);
    }
    if (status == RHZ_OK) {
      t->retries = 0;
      continue;
    }
    status = recover(t, status);
    if (status != RHZ_OK) return status;
  }
}

static rhz_status print_final(trainer *t) {
  uint8_t digest[16];
  char hex[2 * sizeof(digest) + 1];
  rhz_status status = rhz_state_digest(t->comm, digest);
  if (status != RHZ_OK) return kit_note_error(status, t->error);
  for (size_t i = 0; i < sizeof(digest); i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
  kit_print_line("final step=%" PRIu64 " loss=%.4f first_loss=%.4f failed_ops=%" PRIu64
                 " digest=%s",
                 t->progress[STEP], kit_value_of(t->progress[LAST_LOSS]),
                 kit_value_of(t->progress[FIRST_LOSS]), t->failed_ops, hex);
  return RHZ_OK;
}

static int run(trainer *t) {
  rhz_status status = enter_run(t);
  if (status == RHZ_ERR_UNREACHABLE) {
    return complain("cannot reach the coordinator: %s; is `rhizome coordinator` running there?",
                    t->error);
  }
  if (status != RHZ_OK) return complain("cannot join: %s", t->error);
  status = train(t);
  if (status == RHZ_OK) status = print_final(t);
  if (status != RHZ_OK) {
    complain("after step %" PRIu64 ": %s (%s)", t->progress[STEP], t->error,
             rhz_status_text(status));
  } else if (rhz_comm_leave(t->comm, 0) != RHZ_OK) {
    complain("left without a good-bye: %s", rhz_last_error()); /* the result stands */
  }
  rhz_comm_close(t->comm);
  t->comm = NULL;
  return status == RHZ_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int allocate(trainer *t) {
  const options *o = t->options;
  lm_config config = {(uint32_t)o->batch, (uint32_t)o->context, WIDTH, HEADS, LAYERS};
  size_t rows = (size_t)(o->batch * o->context);
  t->model = lm_model_new(&config);
  if (!t->model) return 0;
  t->parameter_count = lm_parameter_count(t->model);
  t->parameters = calloc(t->parameter_count, sizeof(lm_real));
  t->first_moment = calloc(t->parameter_count, sizeof(lm_real));
  t->second_moment = calloc(t->parameter_count, sizeof(lm_real));
  t->gradient = calloc(t->parameter_count + 1, sizeof(lm_real));
  t->inputs = malloc(rows);
  t->targets = malloc(rows);
  return t->parameters && t->first_moment && t->second_moment && t->gradient && t->inputs &&
         t->targets;
}

static void release(trainer *t) {
  lm_model_free(t->model);
  free(t->parameters);
  free(t->first_moment);
  free(t->second_moment);
  free(t->gradient);
  free(t->inputs);
  free(t->targets);
}

int main(int argc, char **argv) {
  options o = parse_options(argc, argv);
  lm_text all = {NULL, 0};
  trainer t = {.options = &o, .text = &all};
  char error[LM_TEXT_ERROR_BYTES];
  int status = lm_text_load(&all, o.data, o.data_count, o.context, error) ? EXIT_SUCCESS
                                                                          : complain("%s", error);
  if (status == EXIT_SUCCESS && !allocate(&t)) status = complain("out of memory");
  if (status == EXIT_SUCCESS) {
    uint64_t seed = o.seed;
    t.progress[RANDOM] = lm_random(&seed);
    lm_initialize(t.model, seed, t.parameters);
    status = run(&t);
  }
  release(&t);
  free(all.bytes);
  free(o.data);
  return status;
}
