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
 *   transfer   where somebody lacks it: a plan where everybody's comes from, and the trip is over
 *   pass       micro-batches go forward and backward through the stages
 *   sums       each part's gradient, over those who have the part
 *   ballot     did all of that go well, everywhere?  Then all update
 *
 * Micro-batches whose numbers leave one remainder by the replicas are a strand: where everybody is
 * here, each strand has a replica of every stage for itself.  A death in a step costs the strands
 * that it was part of: with --policy continue those that are whole are summed and voted on once
 * more; else, and where none is whole, nobody updates, and all begin the trip again. */
#ifndef PIPELINE_H
#define PIPELINE_H

#include <rhizome/rhizome.h>

#include "char_lm_model.h"
#include "char_lm_text.h"
#include "example_kit.h"

enum { MAX_STAGES = 8, MAX_REPLICAS = 8, MAX_SLOTS = MAX_STAGES * MAX_REPLICAS };
enum { MAX_MICRO_BATCHES = 64, MAX_DEATHS = 64, HEADS = 4 };

typedef enum order { ORDER_PLAIN, ORDER_SWAPPED } order;
typedef enum policy { POLICY_CONTINUE, POLICY_REPLAY } policy;
typedef enum weighting { WEIGHTING_NORM, WEIGHTING_CLIPPED_NORM, WEIGHTING_MEAN } weighting;
/* What becomes of a stage that is lost: the mean of those beside it, a copy of the one before it,
 * or what it was at the start; the latter two to be compared with. */
typedef enum substitute { SUBSTITUTE_AVERAGE, SUBSTITUTE_COPY, SUBSTITUTE_RANDOM } substitute;
/* Of a stage's state.  SOURCES: none. */
typedef enum source {
  SOURCE_REPLICA,
  SOURCE_ATTACH,
  SOURCE_VAULT,
  SOURCE_SHARDS,
  SOURCE_SHADOW,
  SOURCE_AVERAGE,
  SOURCE_DISK,
  SOURCES
} source;
extern const char *const source_names[]; /* they end with NULL */
/* The revision of the state before the first step. */
enum { START_REVISION = 1 };
/* Exit status: nothing gives the run's state back, so that it is of no use to start this again. */
enum { EXIT_LOST = 65 };

typedef struct options {
  const char **data; /* paths; none: the files of LM_TEXT_FOLDER */
  size_t data_count;
  uint64_t stages, replicas, layers, width, micro_batches;
  uint64_t steps, batch, context, seed, log_every, min_step_ms, snapshot_every, protect_every,
      checkpoint_every, shadow;
  double learning_rate;
  order order;
  policy policy;
  weighting weighting;
  uint32_t sources; /* a bit for each that may be used */
  substitute substitute;
  struct { /* who kills itself, and before which step */
    uint64_t step;
    uint32_t slot;
  } deaths[MAX_DEATHS];
  size_t death_count;
  const char *checkpoint_folder;    /* NULL: none */
  const char *coordinator, *run_id; /* NULL: from the environment */
} options;

/* Ends the program where they make no sense, or are answered by --help. */
options parse_options(int argc, char **argv);
/* The stages in the order in which a micro-batch passes them.  It cannot fail for options that
 * parse_options() let through. */
rhz_status stage_way(const options *o, uint32_t micro_batch, uint32_t way[MAX_STAGES]);

/* Equal on all peers. */
enum {
  STEP,       /* steps done */
  RANDOM,     /* state of the random stream; one number a step */
  POSITION,   /* windows of text that each micro-batch has drawn */
  FIRST_LOSS, /* of the run's first step and of its last one: bits of a double */
  LAST_LOSS,
  LINEAGE, /* of all losses so far: equal steps of two pasts that differ have different ones */
  PROGRESS_WORDS
};

/* ------------------------------------------------------------------------------------ state */

typedef struct part_notes {
  uint64_t steps;       /* of AdamW, since its moments were 0 */
  double rate_factor;   /* on the learning rate */
  double gradient_norm; /* of the last gradient, before clipping */
} part_notes;

typedef struct stage_notes {
  uint64_t stage; /* whose notes and arrays these are */
  part_notes parts[LM_PARTS];
} stage_notes;

/* A stage's arrays are laid out like the parameters of a model with its layers only (lm_part);
 * what belongs to a part that it does not hold is there and unused. */
typedef struct stage_state {
  lm_model *model; /* for its layout */
  int holds[LM_PARTS];
  lm_part parts[LM_PARTS];
  size_t count; /* of each array */
  lm_real *gradient;
  /* The caller's, zeroed. */
  stage_notes *notes;
  lm_real *parameters, *first_moment, *second_moment;
} stage_state;

int stage_holds(uint32_t stage, uint32_t stages, lm_part_name part);
/* Without the caller's arrays.  0: out of memory; free it in any case. */
int stage_state_new(stage_state *state, const options *options);
/* This stage, with what the arrays hold. */
void stage_state_take(stage_state *state, const options *options, uint32_t stage);
/* This stage as it is at the start of a run with this seed.  0: out of memory. */
int stage_state_start(stage_state *state, const options *options, uint32_t stage, uint64_t seed);
void stage_state_free(stage_state *state);
lm_config stage_config(const options *options, uint64_t stages);
/* Where the gradient is the sum over that many micro-batches, on all who hold a part. */
void stage_state_update(stage_state *state, const options *options, uint64_t step,
                        uint64_t micro_batches);
/* Its layers as they are at the start; norm: of those beside it.  0: out of memory. */
int stage_state_restart_layers(stage_state *state, const options *options, uint32_t stage,
                               uint64_t seed, double norm);
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

/* What each slot has: revisions, 0 for none. */
typedef struct facts {
  uint64_t live[MAX_SLOTS];         /* the run's */
  uint64_t attached[MAX_SLOTS];     /* memory that outlived its process */
  uint64_t snapshots[2][MAX_SLOTS]; /* in its vault */
  uint64_t shards[2][MAX_STAGES];   /* of each stage, with parity, in vaults of other hosts */
  uint64_t shadows[MAX_SLOTS];      /* of the stage before, as owner_of() says */
  uint64_t checkpoints[MAX_SLOTS];  /* that it knows to be complete, for all to load */
  uint64_t unreadable[MAX_SLOTS];   /* that it could not load */
} facts;

typedef struct plan {
  uint64_t revision;          /* that all have afterwards */
  source from[MAX_SLOTS];     /* SOURCES: nothing to do */
  uint32_t keeper[MAX_SLOTS]; /* whose shadow it is from */
} plan;

/* Of the stage before. */
typedef struct shadow {
  stage_state state;
  stage_notes notes;
  lm_real *arrays;
  rhz_shadow *handle; /* NULL: it holds no state */
} shadow;

/* Who stands in for a stage that nobody has: CheckFree's rule. */
typedef struct stand_in {
  int copy; /* of before alone */
  uint32_t before, after;
} stand_in;

typedef struct pipeline {
  const options *options;
  const lm_text *text;
  /* Registered; without a communicator: last_progress. */
  uint64_t *progress, last_progress[PROGRESS_WORDS];
  uint64_t
      attached; /* revision of the memory that was attached to; 0: nothing was, or it is used */
  uint64_t attached_progress[PROGRESS_WORDS];
  uint64_t spoilt;     /* revision of a snapshot that could not be restored */
  uint64_t born;       /* steps that the run had done when this peer joined it */
  uint64_t checkpoint; /* revision of the newest one that is known to be complete; 0: none */
  uint64_t unreadable; /* revision of the last one that could not be loaded; 0: none */
  uint32_t transfers;  /* of state, without a step between them */
  /* Revisions beyond the first one, up to the second, of a past that this run has left: what is
   * protected of them is of that. */
  uint64_t left_from, left_to;
  rhz_status checkpoint_status, protect_status;
  rhz_status snapshot_status; /* of the last one that did not come about */
  rhz_comm *comm;
  rhz_comm *groups[LM_PARTS]; /* those who hold the part; NULL: this peer does not, or not yet */
  rhz_view view;
  uint32_t stages, replicas, slots, stage;
  stage_state state;
  shadow shadow;
  int ready;       /* state is that of the run */
  int grouped;     /* groups are made */
  int at_boundary; /* has just come in through a boundary, where the members are too */
  uint64_t trip;   /* number of this trip: what is left of another one is not mistaken */
  roll roll;

  lm_model *models[MAX_MICRO_BATCHES]; /* with the activations of each */
  size_t stream_bytes;                 /* of a message between stages */
  uint8_t *inputs, *targets;           /* of the micro-batch in hand */
  int mine[MAX_MICRO_BATCHES];         /* goes through this stage here */
  int done[MAX_MICRO_BATCHES];         /* went through this stage well so far */
  double losses[MAX_MICRO_BATCHES];    /* 0: is not computed here */
  lm_real *shares[MAX_REPLICAS];       /* of the gradient: what each strand gave here */
  uint32_t strands;                    /* that count in this step: a bit for each */
  uint64_t reported_epoch, failed_ops, retries;
  double step_end_ms;          /* of the last step; 0: none yet */
  double snapshot_ms;          /* that this one has waited for snapshots */
  char error[KIT_ERROR_BYTES]; /* of the last failed call */
} pipeline;

/* By the roll. */
int is_here(const pipeline *p, uint32_t slot);
int is_ready(const pipeline *p, uint32_t slot);
/* By the plan. */
void set_ready(pipeline *p, uint32_t slot, int ready);
/* For the rest of the trip. */
void strike_off(pipeline *p, uint32_t slot);
/* The slots that have a part and are ready, rising: how many.  stage: of LM_LAYERS, whose. */
uint32_t holders_of(const pipeline *p, lm_part_name part, uint32_t stage,
                    uint32_t slots[MAX_SLOTS]);

/* Submits a message of this trip, numbered by the two sides alike; its end is kit_finish_op's. */
rhz_status submit_send(pipeline *p, uint32_t slot, uint64_t number, const void *data, size_t bytes,
                       rhz_op **op);
/* Blocks until the message is there: 1 if it came and has this length. */
int receive(pipeline *p, uint32_t slot, uint64_t number, void *data, size_t bytes);

/* Sends micro-batches forward and backward, and leaves in shares what each strand gave.  What was
 * lost on the way is not done; the others have been told, and none waits. */
void run_pass(pipeline *p);

/* pipeline_ballot.c: the end of a step */
/* How many micro-batches count. */
uint64_t counted(const pipeline *p);
/* Behind the pass: RHZ_OK: state.gradient is the sum over those that count, here and wherever
 * somebody else has to make the same update, and *loss is the step's. */
rhz_status settle_step(pipeline *p, double *loss);

/* pipeline_kept.c: the memory of the state */
int may_use(const pipeline *p, source which);
/* Whether a vault keeps it, a checkpoint has it, or a neighbour follows it. */
int is_kept(const pipeline *p);
/* Before the join: attaches to what is kept, or begins anew; registers it. */
rhz_status take_memory(pipeline *p);
/* Before the communicator is closed. */
void forget_memory(pipeline *p);
/* Once the stage is known, and the run's progress: p->attached is 0 if that is of no use. */
void check_attached(pipeline *p);
/* Between the commit of a step, if one is due, and the next update. */
void begin_snapshot(pipeline *p);
void end_snapshot(pipeline *p);
void replace_snapshots(pipeline *p);
void list_snapshots(pipeline *p, uint64_t revisions[2]);
/* 0: could not.  Afterwards this peer has the state of that revision. */
int restore_snapshot(pipeline *p, uint64_t revision);
int restore_attached(pipeline *p);
/* pipeline_shards.c: its shards in the vaults of other hosts */
void begin_protection(pipeline *p);
/* Before the vote. */
void end_protection(pipeline *p);
/* Of a stage, by what this peer knows: the newest one and the one before; 0: none that could be
 * restored. */
void list_shards(pipeline *p, uint32_t stage, uint64_t revisions[2][MAX_STAGES]);
int restore_shards(pipeline *p, uint64_t revision);

/* pipeline_disk.c: the same on disk */
void begin_checkpoint(pipeline *p);
/* Before the next update. */
void end_checkpoint_copy(pipeline *p);
/* Revision of the newest one that is known here: that of the start where there is no other, for the
 * seed gives it back without a file.  0: no checkpoints are written. */
uint64_t complete_checkpoint(pipeline *p);
/* Before the communicator is closed in good order. */
void finish_checkpoints(pipeline *p);
int load_checkpoint(pipeline *p, uint64_t revision);

/* pipeline_shadow.c: what a neighbour follows */
uint32_t owner_of(const pipeline *p, uint32_t keeper);
int allocate_shadow(pipeline *p);
void release_shadow(pipeline *p);
/* Once the slot is known. */
int begin_shadow(pipeline *p, uint64_t seed);
/* 0: there is none. */
uint64_t shadow_revision(const pipeline *p);
void refresh_shadows(pipeline *p);
/* round: 0 is the first time in this trip. */
int exchange_gradients(pipeline *p, int complete, uint32_t round);
void update_shadow(pipeline *p, uint64_t step);

/* pipeline_plan.c: where it comes from */
stand_in stand_in_for(const options *o, uint32_t stage);
/* Whether those beside the stage can stand in for it; lost: the stages that nobody has.  Else
 * RHZ_ERR_STATE_LOST, with the reason in p->error. */
rhz_status may_stand_in(pipeline *p, uint32_t stage, const int lost[MAX_STAGES]);
/* Of those who are here.  RHZ_ERR_STATE_LOST: as above. */
rhz_status make_plan(pipeline *p, const facts *f, plan *made);
/* pipeline_recover.c: a peer that got its state becomes ready; the others learn it from the next
 * roll. */
void carry_out(pipeline *p, const plan *made);
/* All of a part but the progress: both sides, which call it in the same order. */
void give_part(pipeline *p, stage_state *state, int good, uint32_t taker, lm_part_name part);
int take_part(pipeline *p, stage_state *state, uint32_t giver, lm_part_name part);

/* pipeline_ops.c */
/* Ends an op that was submitted with the given status; its text, if it failed, is p->error. */
rhz_status finish_op(pipeline *p, rhz_status submitted, rhz_op *op, uint32_t wait_flags,
                     rhz_op_info *info);
/* The sum over a communicator, in place. */
rhz_allreduce_params sum_of(void *data, uint64_t count, uint32_t dtype);

/* pipeline_roll.c */
/* Each peer gives its own words; from here on the roll, not the view, says who takes part. */
rhz_status call_roll(pipeline *p);
/* RHZ_ERR_STATE_LOST: a stage has no holder, whoever comes back brings nothing, and those beside it
 * cannot stand in. */
rhz_status check_stages(pipeline *p, int *all_here);
/* What everybody has, and where everybody's state comes from. */
rhz_status transfer_state(pipeline *p);
/* Who enters is in no group: so all make them again. */
rhz_status make_groups(pipeline *p);
/* Whether this peer's shadow has to be made anew, and can; and whether anybody's. */
int lacks_shadow(const pipeline *p, uint32_t keeper);
int lacks_shadows(const pipeline *p);
/* Whether somebody here has none yet. */
int lacks_groups(const pipeline *p);

/* pipeline_lm.c */
/* The run's start, as its seed gives it.  0: out of memory. */
int begin_at_start(pipeline *p);
/* Keeps the text of an error; returns its status. */
rhz_status note_error(pipeline *p, rhz_status status, const char *what);
/* The revision of the registered state: of the initial one 1, and one more for each step. */
rhz_status commit(pipeline *p);
void close_groups(pipeline *p);
/* One trip.  *over: the run is, and this peer has its stage's state of the end. */
rhz_status make_trip(pipeline *p, int *over);

#endif /* PIPELINE_H */
