#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline.h"

static void print_help(void) {
  puts(
      "Trains a byte-level language model, cut into stages, with the other peers of a Rhizome run.\n"
      "\n"
      "usage: pipeline_lm [options]\n"
      "  --stages N               of the pipeline, 1 to 8 (default 4)\n"
      "  --replicas N             peers that have the same stage, 1 to 8 (default 1); the run has\n"
      "                           stages x replicas slots, slot = stage x replicas + replica\n"
      "  --layers N               of a stage; stages x layers: at most 8 (default 1)\n"
      "  --width N                of the residual stream, a multiple of 4 (default 128)\n"
      "  --micro-batches N        a step, 1 to 64 (default 4); the replicas of a stage share them\n"
      "  --batch N                sequences in each (default 4)\n"
      "  --context N              bytes a sequence (default 64)\n"
      "  --order plain|swapped    swapped: odd micro-batches pass the first two stages, and the last\n"
      "                           two, the other way round, so that a lost end of the pipeline can be\n"
      "                           replaced by a copy; not with 3 stages (default plain)\n"
      "  --policy continue|replay after a death: go on with the replicas that are left, without the\n"
      "                           micro-batches that the dead had in hand, or wait for the replacement\n"
      "                           and make the step again, so that the run ends with the bits of one\n"
      "                           without deaths, unless all of a stage died (default continue)\n"
      "  --weighting norm|clipped_norm|mean\n"
      "                           of the stages that a lost one is averaged from (default norm)\n"
      "  --snapshot-every N       steps between two snapshots in the vault (`rhizome run --vault`), or,\n"
      "                           without one, in this peer's memory; 0: none (default 0)\n"
      "  --sources LIST           where a lost state may come from, of replica,attach,vault,shards,shadow,average,disk\n"
      "                           (default: all of them, as the planner chooses)\n"
      "  --protect-every N        steps between two snapshots whose shards with parity go to the vaults of\n"
      "                           other hosts (RHZ_SHARDS); a multiple of --snapshot-every (default 0: none)\n"
      "  --shadow 1               each peer follows the stage before it, and has its state at any moment\n"
      "  --checkpoint-every N     steps between two checkpoints on disk; before the first one all begin\n"
      "                           anew where nothing else serves; 0: none (default 0)\n"
      "  --checkpoint-folder PATH for them; the same on all peers, and this run's own\n"
      "  --substitute average|copy|random\n"
      "                           for a stage that is lost: the mean of those beside it, the one before\n"
      "                           it, or what it was at the start (default average; the others are to be\n"
      "                           compared with)\n"
      "  --kill-at STEP:SLOT,...  that peer kills itself before that step, once (at most 64)\n"
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
      "All peers are given the same options.  Exit status: 65 where a stage is lost and nothing gives it\n"
      "back, which `rhizome run --restart` does not start again.\n"
      "\n"
      "example: four stages with two replicas each; kill any of the eight processes, or both of a stage\n"
      "  rhizome run -n 8 --restart -- pipeline_lm --replicas 2 --order swapped\n"
      "the same with a single one each, whose state the vault keeps\n"
      "  rhizome run -n 4 --restart --vault -- pipeline_lm --snapshot-every 1");
}

static void set_option(void *options, const char *name, const char *value);
static const kit_program program = {"pipeline_lm", print_help, set_option};

static void usage_error(const char *option, const char *problem) {
  kit_usage_error(&program, option, problem);
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
      {"--width", &o->width, HEADS, 1024},
      {"--micro-batches", &o->micro_batches, 1, MAX_MICRO_BATCHES},
      {"--steps", &o->steps, 1, UINT64_C(1) << 40},
      {"--batch", &o->batch, 1, 1024},
      {"--context", &o->context, 1, 1024},
      {"--seed", &o->seed, 0, UINT64_MAX},
      {"--log-every", &o->log_every, 1, UINT64_C(1) << 40},
      {"--min-step-ms", &o->min_step_ms, 0, 3600 * 1000},
      {"--protect-every", &o->protect_every, 0, UINT64_C(1) << 40},
      {"--shadow", &o->shadow, 0, 1},
      {"--snapshot-every", &o->snapshot_every, 0, UINT64_C(1) << 40},
      {"--checkpoint-every", &o->checkpoint_every, 0, UINT64_C(1) << 40},
  };
  return kit_parse_number(numbers, sizeof(numbers) / sizeof(numbers[0]), name, value, problem);
}

/* In the order of the enums. */
static const char *const orders[] = {"plain", "swapped", NULL};
static const char *const policies[] = {"continue", "replay", NULL};
static const char *const weightings[] = {"norm", "clipped_norm", "mean", NULL};
static const char *const substitutes[] = {"average", "copy", "random", NULL};

/* Names with commas between them. */
static uint32_t parse_sources(const char *option, const char *value) {
  char name[16];
  uint32_t sources = 0;
  for (const char *at = value; *at;) {
    size_t length = strcspn(at, ",");
    if (length >= sizeof(name)) length = sizeof(name) - 1; /* none of them is so long */
    memcpy(name, at, length);
    name[length] = '\0';
    sources |= 1u << parse_choice(option, name, source_names);
    at += strcspn(at, ",");
    at += *at == ',';
  }
  if (sources == 0) usage_error(option, "must name one source at least");
  return sources;
}

/* STEP:SLOT with commas between them. */
static void parse_deaths(options *o, const char *option, const char *value) {
  for (const char *at = value; *at;) {
    char *end;
    if (o->death_count == MAX_DEATHS) usage_error(option, "names more than 64 deaths");
    o->deaths[o->death_count].step = strtoull(at, &end, 10);
    if (end == at || *end != ':') usage_error(option, "must be STEP:SLOT,STEP:SLOT...");
    at = end + 1;
    o->deaths[o->death_count++].slot = (uint32_t)strtoul(at, &end, 10);
    if (end == at || (*end && *end != ',')) usage_error(option, "must be STEP:SLOT,STEP:SLOT...");
    at = end + (*end == ',');
  }
}

static void set_option(void *into, const char *name, const char *value) {
  options *o = into;
  char problem[KIT_PROBLEM_BYTES] = "is no option";
  if (strcmp(name, "--coordinator") == 0) {
    o->coordinator = value;
  } else if (strcmp(name, "--run-id") == 0) {
    o->run_id = value;
  } else if (strcmp(name, "--checkpoint-folder") == 0) {
    o->checkpoint_folder = value;
  } else if (strcmp(name, "--order") == 0) {
    o->order = (order)parse_choice(name, value, orders);
  } else if (strcmp(name, "--policy") == 0) {
    o->policy = (policy)parse_choice(name, value, policies);
  } else if (strcmp(name, "--sources") == 0) {
    o->sources = parse_sources(name, value);
  } else if (strcmp(name, "--kill-at") == 0) {
    parse_deaths(o, name, value);
  } else if (strcmp(name, "--substitute") == 0) {
    o->substitute = (substitute)parse_choice(name, value, substitutes);
  } else if (strcmp(name, "--weighting") == 0) {
    o->weighting = (weighting)parse_choice(name, value, weightings);
  } else {
    kit_parsed parsed = strcmp(name, "--lr") == 0
                            ? kit_parse_rate(value, &o->learning_rate, problem)
                            : parse_number(o, name, value, problem);
    if (parsed != KIT_SET) usage_error(name, problem);
  }
}

rhz_status stage_way(const options *o, uint32_t micro_batch, uint32_t way[MAX_STAGES]) {
  if (o->order == ORDER_SWAPPED) return rhz_stage_order(micro_batch, (uint32_t)o->stages, way);
  for (uint32_t i = 0; i < o->stages; i++) way[i] = i;
  return RHZ_OK;
}

options parse_options(int argc, char **argv) {
  options o = {.stages = 4, .replicas = 1, .layers = 1, .width = 128, .micro_batches = 4};
  o.steps = 200, o.batch = 4, o.context = 64, o.seed = 1, o.log_every = 1, o.learning_rate = 1e-3;
  o.sources = (1u << SOURCES) - 1;
  kit_parse_options(&program, argc, argv, &o, &o.data, &o.data_count);
  if (o.stages * o.layers > LM_MAX_LAYERS)
    usage_error("--layers", "times --stages must be at most 8");
  if (o.width % HEADS != 0) usage_error("--width", "must be a multiple of 4");
  if (o.checkpoint_every && !o.checkpoint_folder)
    usage_error("--checkpoint-every", "needs --checkpoint-folder");
  if (o.protect_every && (!o.snapshot_every || o.protect_every % o.snapshot_every))
    usage_error("--protect-every", "must be a multiple of --snapshot-every");
  if (o.shadow && o.stages < 2) usage_error("--shadow", "takes two stages at least");
  uint32_t way[MAX_STAGES];
  if (stage_way(&o, 1, way) != RHZ_OK) usage_error("--order swapped:", rhz_last_error());
  return o;
}
