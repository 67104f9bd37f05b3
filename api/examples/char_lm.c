/* Trains a byte-level language model (char_lm_model.h) data-parallel over Rhizome.
 *
 * Each peer computes gradients of its own part of the text; one all-reduce averages them, and every
 * peer applies the same update.  Peers may die, stall and come back at any moment:
 *
 *   a peer dies        the all-reduce in flight ends with the average over those who are left
 *   a peer comes       rhz_admit lets it in between two steps, with the members' state
 *   this one is out    (it stalled for too long, say) it joins again as a new peer */
#define _POSIX_C_SOURCE 200809L

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <rhizome/rhizome.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "char_lm_model.h"

#define DEFAULT_TEXT_FOLDER "/usr/share/common-licenses"

enum { EXIT_USAGE = 2 };
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
  const char **data; /* paths; none: the files of DEFAULT_TEXT_FOLDER */
  size_t data_count;
  uint64_t steps, batch, context, seed, log_every, min_step_ms;
  double learning_rate;
  const char *coordinator, *run_id; /* NULL: from the environment */
} options;

typedef struct text {
  uint8_t *bytes;
  size_t size;
} text;

typedef struct trainer {
  const options *options;
  const text *text;
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
  char error[512]; /* of the last failed call */
} trainer;

/* ------------------------------------------------------------------------------------ small things
 */

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void sleep_ms(double ms) {
  struct timespec pause;
  if (ms <= 0) return;
  pause.tv_sec = (time_t)(ms / 1e3);
  pause.tv_nsec = (long)((ms - (double)pause.tv_sec * 1e3) * 1e6);
  while (nanosleep(&pause, &pause) != 0 && errno == EINTR) continue;
}

/* One line to stdout, at once: whoever reads it through a pipe waits for it. */
static void print_line(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  putchar('\n');
  fflush(stdout);
}

static int complain(const char *format, ...) {
  va_list arguments;
  fputs("char_lm: ", stderr);
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  return EXIT_FAILURE;
}

static uint64_t bits_of(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

static double value_of(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

/* ------------------------------------------------------------------------------------ options */

static void print_help(void) {
  puts(
      "Trains a byte-level language model together with the other peers of a Rhizome run.\n"
      "\n"
      "usage: char_lm [options]\n"
      "  --data FILE...           text to train on (default: the files of\n"
      "                           " DEFAULT_TEXT_FOLDER
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
      "  --min-step-ms N          make a step take at least so long (default 0)\n"
      "  --help\n"
      "\n"
      "example: two peers on this machine\n"
      "  rhizome coordinator --listen 127.0.0.1:7400 --world 2 &\n"
      "  char_lm --coordinator 127.0.0.1:7400 --steps 100 &\n"
      "  char_lm --coordinator 127.0.0.1:7400 --steps 100");
}

static void usage_error(const char *option, const char *problem) {
  complain("%s %s; see char_lm --help", option, problem);
  exit(EXIT_USAGE);
}

/* Sets *value if the option is a whole number; 0: it is no such option. */
static int parse_whole_number(options *o, const char *name, const char *value) {
  const struct {
    const char *name;
    uint64_t *value, least, most;
  } known[] = {
      {"--steps", &o->steps, 1, UINT64_C(1) << 40},
      {"--batch", &o->batch, 1, 1024},
      {"--context", &o->context, 1, 1024},
      {"--seed", &o->seed, 0, UINT64_MAX},
      {"--log-every", &o->log_every, 1, UINT64_C(1) << 40},
      {"--min-step-ms", &o->min_step_ms, 0, 3600 * 1000},
  };
  for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
    if (strcmp(name, known[i].name) != 0) continue;
    char *end, problem[96];
    errno = 0;
    uint64_t number = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)value[0]) || *end || errno || number < known[i].least ||
        number > known[i].most) {
      snprintf(problem, sizeof(problem), "must be a whole number from %" PRIu64 " to %" PRIu64,
               known[i].least, known[i].most);
      usage_error(name, problem);
    }
    *known[i].value = number;
    return 1;
  }
  return 0;
}

static void parse_valued(options *o, const char *name, const char *value) {
  if (parse_whole_number(o, name, value)) return;
  if (strcmp(name, "--coordinator") == 0) {
    o->coordinator = value;
  } else if (strcmp(name, "--run-id") == 0) {
    o->run_id = value;
  } else if (strcmp(name, "--lr") == 0) {
    char *end;
    o->learning_rate = strtod(value, &end);
    if (end == value || *end || !(o->learning_rate > 0 && o->learning_rate <= 1))
      usage_error(name, "must be a number above 0 and up to 1");
  } else {
    usage_error(name, "is no option");
  }
}

static options parse_options(int argc, char **argv) {
  options o = {.steps = 200, .batch = 4, .context = 64, .seed = 1, .log_every = 1};
  o.learning_rate = 1e-3;
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
  return o;
}

/* ------------------------------------------------------------------------------------ text */

static int append_file(text *all, const char *path) {
  uint8_t chunk[1 << 14];
  size_t got;
  FILE *file = fopen(path, "rb");
  if (!file) {
    return complain("cannot read %s: %s; name readable text files with --data", path,
                    strerror(errno));
  }
  while ((got = fread(chunk, 1, sizeof(chunk), file)) > 0) {
    uint8_t *grown = realloc(all->bytes, all->size + got);
    if (!grown) {
      fclose(file);
      return complain("out of memory reading %s", path);
    }
    all->bytes = grown;
    memcpy(all->bytes + all->size, chunk, got);
    all->size += got;
  }
  int failure = ferror(file) ? errno : 0;
  fclose(file);
  if (!failure) return EXIT_SUCCESS;
  return complain("cannot read %s: %s; name readable text files with --data", path,
                  strerror(failure));
}

/* Regular files only: a link would have its target read twice. */
static int append_if_regular(text *all, const char *folder, const char *name) {
  char path[4096];
  struct stat info;
  int length = snprintf(path, sizeof(path), "%s/%s", folder, name);
  if (length < 0 || (size_t)length >= sizeof(path)) return complain("path too long: %s", name);
  if (lstat(path, &info) != 0 || !S_ISREG(info.st_mode)) return EXIT_SUCCESS;
  return append_file(all, path);
}

static int append_folder(text *all, const char *folder) {
  struct dirent **entries;
  int count = scandir(folder, &entries, NULL, alphasort);
  if (count < 0) {
    return complain("cannot read %s: %s; name text files with --data", folder, strerror(errno));
  }
  int status = EXIT_SUCCESS;
  for (int i = 0; i < count; i++) {
    if (status == EXIT_SUCCESS) status = append_if_regular(all, folder, entries[i]->d_name);
    free(entries[i]);
  }
  free(entries);
  return status;
}

static int load_text(text *all, const options *o) {
  int status = o->data_count ? EXIT_SUCCESS : append_folder(all, DEFAULT_TEXT_FOLDER);
  for (size_t i = 0; i < o->data_count && status == EXIT_SUCCESS; i++)
    status = append_file(all, o->data[i]);
  if (status != EXIT_SUCCESS) return status;
  if (all->size <= o->context) {
    return complain("%zu bytes of text are too few for --context %" PRIu64
                    "; name longer text files with --data",
                    all->size, o->context);
  }
  if (all->size > UINT32_MAX) return complain("more than 4 GiB of text; name fewer with --data");
  return EXIT_SUCCESS;
}

/* ------------------------------------------------------------------------------------ one step */

/* Fills inputs and targets.  Depends on the run's progress and on the slot only: a slot's batches
 * are the same whoever holds it, and those of two slots differ.  Multiples of the golden ratio
 * spread the windows evenly over the text; the random offset keeps a later pass from repeating. */
static void sample_batch(trainer *t) {
  const uint64_t golden = UINT64_C(0x9E3779B97F4A7C15); /* 2^64 / ratio */
  size_t context = (size_t)t->options->context;
  uint64_t starts = t->text->size - context; /* legal first bytes; ≥ 1 */
  uint64_t phase = t->view.slot;
  phase = lm_random(&phase);
  uint64_t random = t->progress[RANDOM] ^ phase;
  for (size_t s = 0; s < t->options->batch; s++) {
    uint64_t point = phase + (t->progress[POSITION] + s) * golden; /* of 2^64 */
    uint64_t start = ((point >> 32) * starts) >> 32;
    start = (start + lm_random(&random) % context) % starts;
    memcpy(t->inputs + s * context, t->text->bytes + start, context);
    memcpy(t->targets + s * context, t->text->bytes + start + 1, context);
  }
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
  if (step == 1) progress[FIRST_LOSS] = bits_of(loss);
  progress[LAST_LOSS] = bits_of(loss);
  progress[POSITION] += t->options->batch;
  lm_random(&progress[RANDOM]);
  progress[STEP] = step;
}

/* ------------------------------------------------------------------------------------ Rhizome */

static rhz_status note_error(trainer *t, rhz_status status, const char *what) {
  snprintf(t->error, sizeof(t->error), "%s", what);
  return status;
}

/* Ends an op that was submitted with the given status: its outcome, with *info filled. */
static rhz_status finish_op(trainer *t, rhz_status submitted, rhz_op *op, uint32_t wait_flags,
                            rhz_op_info *info) {
  *info = (rhz_op_info){.struct_size = sizeof(*info)};
  if (submitted != RHZ_OK) {
    t->failed_ops++;
    return note_error(t, submitted, rhz_last_error());
  }
  rhz_status outcome = rhz_op_wait(op, 0, wait_flags);
  if (outcome != RHZ_OK) {
    t->failed_ops++;
    /* Before any other call: the text lasts until then. */
    note_error(t, outcome, rhz_last_error());
  }
  if (rhz_op_info_get(op, info) == RHZ_OK && outcome != RHZ_OK && info->text[0])
    note_error(t, outcome, info->text);
  rhz_op_release(op);
  return outcome;
}

/* The revision of the registered state: of the initial one 1, and one more for each step. */
static rhz_status commit(trainer *t) {
  rhz_status status = rhz_state_commit(t->comm, t->progress[STEP] + 1);
  /* No member any more: the next op says why, and that is where it is dealt with. */
  if (status == RHZ_ERR_STATE) return RHZ_OK;
  return status == RHZ_OK ? status : note_error(t, status, rhz_last_error());
}

/* Keeps the old view where there is none: as in commit. */
static void refresh_view(trainer *t) {
  rhz_view view = {.struct_size = sizeof(view)};
  if (rhz_comm_view(t->comm, &view) == RHZ_OK) t->view = view;
}

static void report_step(trainer *t, const rhz_op_info *info) {
  double op_ms = (double)(info->wait_us + info->run_us + info->release_us) / 1e3;
  double loss = value_of(t->progress[LAST_LOSS]);
  rhz_comm_publish(t->comm, "step", (double)t->progress[STEP]);
  rhz_comm_publish(t->comm, "loss", loss);
  rhz_comm_publish(t->comm, "op_ms", op_ms);
  if (t->progress[STEP] % t->options->log_every != 0 && info->rebuilds == 0 &&
      t->view.epoch == t->reported_epoch)
    return;
  t->reported_epoch = t->view.epoch;
  print_line("step=%" PRIu64 " epoch=%" PRIu64 " world=%" PRIu32
             " loss=%.4f op_ms=%.2f rebuilds=%" PRIu32,
             t->progress[STEP], t->view.epoch, t->view.world_size, loss, op_ms, info->rebuilds);
}

/* Where joiners come in.  The registered state does not change while this is open. */
static rhz_status pass_boundary(trainer *t) {
  rhz_op *op = NULL;
  rhz_op_info info;
  rhz_status submitted = rhz_admit(t->comm, &op);
  rhz_status status = finish_op(t, submitted, op, RHZ_WAIT_DEFAULT, &info);
  if (status == RHZ_OK) refresh_view(t);
  return status;
}

/* Gradients and loss in one op; on failure the gradient is lost and the state is untouched. */
static rhz_status train_step(trainer *t) {
  double start = now_ms();
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
  rhz_status submitted = rhz_allreduce(t->comm, &average, &op);
  rhz_status status =
      finish_op(t, submitted, op, is_last ? RHZ_WAIT_FINAL : RHZ_WAIT_DEFAULT, &info);
  if (status != RHZ_OK) return status;
  apply_update(t);
  status = commit(t);
  if (status != RHZ_OK) return status;
  refresh_view(t); /* a rebuild changes it */
  report_step(t, &info);
  sleep_ms((double)t->options->min_step_ms - (now_ms() - start));
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
    return note_error(t, status, rhz_last_error());
  }
  t->view = (rhz_view){.struct_size = sizeof(t->view)};
  status = register_state(t);
  if (status == RHZ_OK) status = rhz_comm_join(t->comm, 0);
  if (status == RHZ_OK) status = rhz_comm_view(t->comm, &t->view);
  if (status != RHZ_OK) {
    note_error(t, status, rhz_last_error());
    rhz_comm_close(t->comm);
    t->comm = NULL;
    return status;
  }
  /* The members' next op, and so a joiner's first one, is the one after the boundary. */
  t->at_boundary = t->view.joined != 0;
  t->reported_epoch = t->view.epoch;
  print_line("joined slot=%" PRIu32 " epoch=%" PRIu64 " world=%" PRIu32 " step=%" PRIu64
             " synced=%" PRIu32 " parameters=%zu",
             t->view.slot, t->view.epoch, t->view.world_size, t->progress[STEP], t->view.joined,
             t->parameter_count);
  return t->view.joined ? RHZ_OK : commit(t);
}

/* Joins again as a new peer.  The old slot may count as taken for a while. */
static rhz_status reenter_run(trainer *t) {
  rhz_status status = RHZ_ERR_WORLD_FULL;
  rhz_comm_close(t->comm);
  t->comm = NULL;
  for (int attempt = 0; attempt < REJOIN_ATTEMPTS; attempt++) {
    if (attempt > 0) sleep_ms(REJOIN_PAUSE_MS);
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
    print_line("retry step=%" PRIu64 " status=%" PRId32 " error=\"%s\"", t->progress[STEP] + 1,
               status, t->error);
    t->at_boundary = 0;
    uint64_t pause_ms = t->retries * RETRY_PAUSE_MS;
    sleep_ms(pause_ms < RETRY_PAUSE_LIMIT_MS ? (double)pause_ms : RETRY_PAUSE_LIMIT_MS);
    return RHZ_OK;
  }
  if (status == RHZ_ERR_EVICTED || status == RHZ_ERR_ISOLATED || status == RHZ_ERR_DIVERGED) {
    print_line("evicted step=%" PRIu64 " status=%" PRId32 " error=\"%s\"", t->progress[STEP],
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
  if (status != RHZ_OK) return note_error(t, status, rhz_last_error());
  for (size_t i = 0; i < sizeof(digest); i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
  print_line("final step=%" PRIu64 " loss=%.4f first_loss=%.4f failed_ops=%" PRIu64 " digest=%s",
             t->progress[STEP], value_of(t->progress[LAST_LOSS]), value_of(t->progress[FIRST_LOSS]),
             t->failed_ops, hex);
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
  text all = {NULL, 0};
  trainer t = {.options = &o, .text = &all};
  int status = load_text(&all, &o);
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
