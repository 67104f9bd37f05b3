/* One peer of a pipeline-parallel training run (pipeline_lm.c): what its files share.
 *
 * A run has stages × replicas slots; slot = stage * replicas + replica.  The model has three kinds
 * of parts (lm_part_name): each stage has layers of its own, the first two stages both have the
 * embedding, the last two both have the head.  Whoever has a part has its AdamW as well, and the
 * same bits of both.
 *
 * The run goes in trips, each of which every peer makes the same way, because every decision
 * follows from a collective of the whole run:
 *
 *   boundary   rhz_admit: newcomers enter
 *   roll       who is here, and who has the state of its stage
 *   transfer   where somebody lacks it: those who have it send it, and the trip is over
 *   pass       micro-batches go forward and backward through the stages
 *   sums       each part's gradient, over those who have the part
 *   ballot     did all of that go well, everywhere?  Then all update; else nobody does */
#ifndef PIPELINE_H
#define PIPELINE_H

#include <rhizome/rhizome.h>

#include "char_lm_model.h"
#include "char_lm_text.h"
#include "example_kit.h"

enum { MAX_STAGES = 8, MAX_REPLICAS = 8, MAX_SLOTS = MAX_STAGES * MAX_REPLICAS };
enum { MAX_MICRO_BATCHES = 64 };

typedef enum order { ORDER_PLAIN, ORDER_SWAPPED } order;
typedef enum policy { POLICY_CONTINUE, POLICY_REPLAY } policy;
typedef enum weighting { WEIGHTING_NORM, WEIGHTING_CLIPPED_NORM, WEIGHTING_MEAN } weighting;

typedef struct options {
  const char **data; /* paths; none: the files of LM_TEXT_FOLDER */
  size_t data_count;
  uint64_t stages, replicas, layers, micro_batches;
  uint64_t steps, batch, context, seed, log_every, min_step_ms;
  double learning_rate;
  order order;
  policy policy;
  weighting weighting;
  const char *coordinator, *run_id; /* NULL: from the environment */
} options;

/* Ends the program where they make no sense, or are answered by --help. */
options parse_options(int argc, char **argv);
/* The stages in the order in which a micro-batch passes them.  It cannot fail for options that
 * parse_options() let through. */
rhz_status stage_way(const options *o, uint32_t micro_batch, uint32_t way[MAX_STAGES]);

/* Equal on all peers: the registered state. */
enum {
  STEP,       /* steps done */
  RANDOM,     /* state of the random stream; one number a step */
  POSITION,   /* windows of text that each micro-batch has drawn */
  FIRST_LOSS, /* of the run's first step and of its last one: bits of a double */
  LAST_LOSS,
  PROGRESS_WORDS
};

/* ------------------------------------------------------------------------------------ state */

typedef struct part_notes {
  uint64_t steps;       /* of AdamW, since its moments were 0 */
  double rate_factor;   /* on the learning rate */
  double gradient_norm; /* of the last gradient, before clipping */
} part_notes;

/* A stage's arrays are laid out like the parameters of a model with its layers only (lm_part);
 * what belongs to a part that it does not hold is there and unused. */
typedef struct stage_state {
  lm_model *model; /* for its layout */
  int holds[LM_PARTS];
  lm_part parts[LM_PARTS];
  part_notes notes[LM_PARTS];
  size_t count; /* of each array */
  lm_real *parameters, *first_moment, *second_moment, *gradient;
} stage_state;

int stage_holds(uint32_t stage, uint32_t stages, lm_part_name part);
/* As it is at the start of a run with this seed.  0: out of memory; free it in any case. */
int stage_state_new(stage_state *state, const options *options, uint32_t stage, uint64_t seed);
void stage_state_free(stage_state *state);
lm_config stage_config(const options *options, uint64_t stages);
/* Where the gradient is the sum over a step's micro-batches, on all who hold a part. */
void stage_state_update(stage_state *state, const options *options, uint64_t step);
/* FNV-1a of what the stage holds: equal on its replicas. */
uint64_t stage_state_digest(const stage_state *state);
/* A stage without holders, from those beside it: parameters, their weighted mean, and AdamW at its
 * start.  after NULL: a copy of before. */
void stage_state_average(stage_state *state, const lm_real *before, part_notes before_notes,
                         const lm_real *after, part_notes after_notes, weighting weighting,
                         double weights[2]);

/* ------------------------------------------------------------------------------------ peer */

/* Of a trip: by slot, 0 for those who are not here. */
typedef struct roll {
  uint64_t words[MAX_SLOTS];    /* pipeline_lm.c */
  uint64_t settings[MAX_SLOTS]; /* which must be equal */
} roll;

typedef struct pipeline {
  const options *options;
  const lm_text *text;
  uint64_t progress[PROGRESS_WORDS];
  rhz_comm *comm;
  rhz_comm *groups[LM_PARTS]; /* those who hold the part; NULL: this peer does not, or not yet */
  rhz_view view;
  uint32_t stages, replicas, slots, stage;
  stage_state state;
  int ready;       /* state is that of the run */
  int grouped;     /* groups are made */
  int at_boundary; /* has just come in through a boundary, where the members are too */
  uint64_t trip;   /* number of this trip: what is left of another one is not mistaken */
  roll roll;

  lm_model *models[MAX_MICRO_BATCHES]; /* with the activations of each */
  size_t stream_bytes;                 /* of a message between stages */
  uint8_t *inputs, *targets;           /* of the micro-batch in hand */
  int done[MAX_MICRO_BATCHES];         /* went through this stage well so far */
  int has_loss[MAX_MICRO_BATCHES];     /* was computed here */
  double losses[MAX_MICRO_BATCHES];
  uint64_t reported_epoch, failed_ops, retries;
  char error[KIT_ERROR_BYTES]; /* of the last failed call */
} pipeline;

/* By the roll. */
int is_here(const pipeline *p, uint32_t slot);
int is_ready(const pipeline *p, uint32_t slot);
/* The slots that have a part and are ready, rising: how many.  stage: of LM_LAYERS, whose. */
uint32_t holders_of(const pipeline *p, lm_part_name part, uint32_t stage,
                    uint32_t slots[MAX_SLOTS]);

/* Submits a message of this trip, numbered by the two sides alike; its end is kit_finish_op's. */
rhz_status submit_send(pipeline *p, uint32_t slot, uint64_t number, const void *data, size_t bytes,
                       rhz_op **op);
/* Blocks until the message is there: 1 if it came and has this length. */
int receive(pipeline *p, uint32_t slot, uint64_t number, void *data, size_t bytes);

/* Sends micro-batches forward and backward.  0: something was lost on the way; the others have been
 * told, and none waits. */
int run_pass(pipeline *p);

/* Whether every stage has a holder, or neighbours who can stand in for it.  Else
 * RHZ_ERR_STATE_LOST, with the reason in p->error. */
rhz_status check_stages(pipeline *p);
/* Gives those who are here and not ready the state of their stage.  A peer that got its own becomes
 * ready; the others learn it from the next roll. */
void transfer_state(pipeline *p);

/* Keeps the text of an error; returns its status. */
rhz_status note_error(pipeline *p, rhz_status status, const char *what);
/* The revision of the registered state: of the initial one 1, and one more for each step. */
rhz_status commit(pipeline *p);
void close_groups(pipeline *p);
/* One trip.  *over: the run is, and this peer has its stage's state of the end. */
rhz_status make_trip(pipeline *p, int *over);

#endif /* PIPELINE_H */
