/* Rhizome: stages of a pipeline that stand in for each other.  Part of rhizome.h, which includes it: the same conventions hold.
 *
 * A stage that nobody has any more becomes the weighted mean of the stages beside it (CheckFree), or, at the ends of the pipeline, a copy of the one
 * beside it, which has learnt its part by the swapped order of micro-batches (CheckFree+: Blagoev et al., "All is not lost: LLM recovery
 * without checkpoints", 2025).  It costs nothing while nothing fails, and is approximate: training goes on from near where it was.
 * Embedding and head are not averaged: keep exact copies of them with the second and the last but one stage.
 *
 *   rhz_stage_stand_in    who stands in for the lost stage; they send it their parameters (rhz_send), and the norm of their last gradient
 *   rhz_average_stage     the lost stage's parameters; its optimizer begins anew (moments 0), with its learning rate × the factor
 *
 * Pure functions of their arguments: no communicator, any thread.
 */
#ifndef RHIZOME_RHIZOME_STAGES_H
#define RHIZOME_RHIZOME_STAGES_H

#include <rhizome/rhizome.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The order in which a micro-batch passes the stages of a pipeline, so that a first or last stage which is lost can be replaced by a copy of
 * the stage beside it: that of even micro-batches is the usual one; odd ones pass the first two stages the
 * other way round, and the last two, so that the second stage learns the first one's part too, and the last but one that of the last.  Fills
 * out_order[stages]; stages count from 0.   Since 1.0.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT (no stages, or 3, whose two pairs overlap). */
RHZ_API RHZ_NODISCARD rhz_status rhz_stage_order(uint64_t micro_batch, uint32_t stages, uint32_t *out_order);

enum {
  RHZ_SCHEDULE_PLAIN = 0,  /* every micro-batch passes the stages in their order: the ends have no stand-ins */
  RHZ_SCHEDULE_SWAPPED = 1 /* rhz_stage_order */
};

typedef struct rhz_stand_in {
  size_t struct_size;     /* sizeof(rhz_stand_in) */
  uint32_t copy;          /* 1: a copy of `before` alone; 0: the average of both */
  uint32_t before, after; /* stages; where copy is 1, both the one beside it */
} rhz_stand_in;

/* What `stage` is to be made of.  lost: all stages that nobody has, it among them; stages count from 0.   Since 1.0.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT (fewer than 2 stages, numbers beyond them, no such schedule), _ABI,
 *           _STATE_LOST (a stage beside it is lost as well, or it is the first or the last one and the schedule is plain: the text says so). */
RHZ_API RHZ_NODISCARD rhz_status rhz_stage_stand_in(uint32_t stage, const uint32_t *lost, uint32_t lost_count, uint32_t stages,
                                                    uint32_t schedule, rhz_stand_in *out);

/* ω of a stage in (ω_before · W_before + ω_after · W_after) / (ω_before + ω_after) */
enum {
  RHZ_WEIGHTING_NORM = 0,         /* L2 norm of its last gradient before clipping, + 1e-4: the default, and the paper's text */
  RHZ_WEIGHTING_CLIPPED_NORM = 1, /* the same after clipping: the paper's code, and a plain mean wherever both clip */
  RHZ_WEIGHTING_MEAN = 2          /* 1 */
};

typedef struct rhz_average_params {
  size_t struct_size;       /* sizeof(rhz_average_params) */
  const rhz_tensor *before; /* tensor_count tensors of the stage in front: parameters, not moments */
  const rhz_tensor *after;  /* of the stage behind; NULL: `before` is copied */
  const rhz_tensor *lost;   /* where to.  By position: as many, with the same dtypes and counts; names are for texts.  Each may be the very
                               memory of its tensor in before or after */
  uint32_t tensor_count;
  uint32_t weighting;       /* RHZ_WEIGHTING_* */
  double norm_before, norm_after; /* L2 norms of the stages' last gradients before clipping; MEAN and a copy need none */
  double clip_norm;         /* CLIPPED_NORM: to which the trainer clips; 0: it does not */
} rhz_average_params;
typedef struct rhz_average_info {
  size_t struct_size; /* sizeof(rhz_average_info) */
  double weight_before, weight_after; /* ω; of a copy 1 and 0 */
  double learning_rate_factor; /* 1.1: on the lost stage's learning rate from now on */
} rhz_average_info;

/* Overwrites the tensors of a lost stage.  f64 and f32 are averaged in f64, f16 and bf16 in f32, and rounded once: every host
 * computes the same bits.  A copy may have any dtype.  On the calling thread.  out_info may be NULL.   Since 1.0.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT (dtypes or counts differ, no float, a norm that is negative or not finite: the text names the
 *           tensor; nothing was written), _ABI, _OVERLAP (memory that is partly the same). */
RHZ_API RHZ_NODISCARD rhz_status rhz_average_stage(const rhz_average_params *params, rhz_average_info *out_info);

/* The L2 norm over all elements of the tensors, summed in f64 in their order: equal bits on every host.   Since 1.0.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT (a tensor that is no float), _ABI. */
RHZ_API RHZ_NODISCARD rhz_status rhz_gradient_norm(const rhz_tensor *tensors, uint32_t tensor_count, double *out_norm);

#ifdef __cplusplus
}
#endif
#endif /* RHIZOME_RHIZOME_STAGES_H */
