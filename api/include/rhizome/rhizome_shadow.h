/* Rhizome: the shadow of a stage.  Part of rhizome.h, which includes it: the same conventions hold.
 *
 * A neighbour keeps a copy of a stage's state and applies to it what the stage's own optimizer applies: the reduced gradient of each step, by the
 * same rule.  So it has the stage's current revision, bit for bit, without any transfer of state: one message of a gradient per step.
 *
 *   rhz_shadow_create    over memory of the caller's that holds a copy of the stage's parameters, moments and counters
 *   rhz_shadow_apply     the gradient of each step, in their order
 *   rhz_shadow_compare   every so many steps, with the digest of the owner (rhz_digest_tensors)
 *   rhz_shadow_tensors   what to send to whoever takes the stage over
 *
 * It is never usable in doubt: after an update that failed, or a digest that differs, all calls but close return that error until it is
 * made anew from a copy of the state.  Host memory; one thread at a time per shadow, which needs no communicator.
 *
 * Equal bits take equal operations in equal order.  Compile a trainer in ISO C (-std=c99) or with -ffp-contract=off, and without -ffast-math;
 * learning rate and clipping must follow from step and gradient alone.
 */
#ifndef RHIZOME_RHIZOME_SHADOW_H
#define RHIZOME_RHIZOME_SHADOW_H

#include <rhizome/rhizome.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All in f32, one rounding per operation; r is the step's learning rate, p a parameter, g its gradient (scaled by max_gradient_norm / norm, where
 * the L2 norm over all elements, summed in f64 in their order, is larger).  r, momentum, betas, epsilon and weight decay are given in
 * f64 and rounded to f32 where they meet elements. */
enum {
  /* m ← beta1 · m + (1 − beta1) · g;  v ← beta2 · v + ((1 − beta2) · g) · g;  p ← keep · p − (rate · m) / (sqrt(v) · root + epsilon)
   * keep = 1 − r · weight_decay, rate = r / (1 − beta1^step), root = 1 / sqrt(1 − beta2^step), each computed in f64 (powers by squaring).
   * Tensors: adamw/first_moment, adamw/second_moment, adamw/steps, parameters */
  RHZ_RULE_ADAMW = 1,
  /* d ← g + weight_decay · p;  v ← momentum · v + d;  p ← p − r · v: as PyTorch's SGD.  Tensors: parameters, sgd/steps, sgd/velocity */
  RHZ_RULE_SGD = 2,
  /* rhz_shadow_params.update */
  RHZ_RULE_CALLBACK = 3
};

/* A part of the parameters: with weight decay, or (norms, biases) without. */
typedef struct rhz_parameter_group {
  size_t struct_size; /* sizeof(rhz_parameter_group) */
  uint64_t offset, count_elems;
  uint32_t decays; /* 1, 0 */
  uint32_t reserved;
} rhz_parameter_group;

/* The learning rate of a step (from 1 on): a function of the step alone, on the owner and on its shadow. */
typedef double (*rhz_learning_rate)(uint64_t step, void *context);
/* The trainer's own rule: applies the reduced gradient of a step to the tensors.  0: done; else the shadow is broken.  Called inside
 * rhz_shadow_apply, on its thread. */
typedef int (*rhz_update)(uint64_t step, const void *gradient, uint64_t bytes, void *context);

typedef struct rhz_shadow_params {
  size_t struct_size; /* sizeof(rhz_shadow_params) */
  const char *stage;  /* whose shadow it is, for texts; NULL: "a stage" */
  uint64_t revision;  /* that the tensors hold, > 0 */
  uint64_t step;      /* steps that have led to it: the next gradient is that of step + 1.  Of ADAMW and SGD *steps says so, and this is 0 */
  uint32_t rule;      /* RHZ_RULE_* */
  uint32_t flags;     /* 0 */
  /* ADAMW, SGD.  Memory is borrowed until rhz_shadow_close.  There are no defaults: all is as the trainer has it */
  float *parameters;    /* count_elems each */
  float *first_moment;  /* of SGD: the velocity */
  float *second_moment; /* of ADAMW */
  uint64_t *steps;      /* one word: steps that the rule has made */
  uint64_t count_elems;
  const rhz_parameter_group *groups; /* one behind the other, from 0 to count_elems; NULL: all decay */
  uint32_t group_count;
  uint32_t reserved;
  rhz_learning_rate learning_rate_of; /* NULL: learning_rate, in all steps */
  double learning_rate;
  double weight_decay;
  double max_gradient_norm; /* 0: gradients are not clipped */
  double momentum;          /* SGD */
  double beta1, beta2, epsilon; /* ADAMW */
  /* CALLBACK */
  const rhz_tensor *tensors; /* all that the stage's state consists of */
  uint32_t tensor_count;
  uint32_t reserved2;
  rhz_update update;
  void *context; /* of both functions */
} rhz_shadow_params;

/* The caller owns *out_shadow and frees it with rhz_shadow_close; the tensors' memory stays the caller's.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT (the text says which parameter), _ABI.   Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_shadow_create(const rhz_shadow_params *params, rhz_shadow **out_shadow);

/* The reduced gradient of a step: of ADAMW and SGD f32, one per parameter.  The revision grows by one.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT (a step that was applied already; a gradient of another size), _STATE (a gap: the text says which step is
 *           due; neither changes anything), _DIVERGED (the callback failed, now or earlier, or a digest differed). */
RHZ_API RHZ_NODISCARD rhz_status rhz_shadow_apply(rhz_shadow *shadow, uint64_t step, const void *gradient, uint64_t bytes);

/* The owner's digest of a revision against the shadow's own, which is computed now: it reads the whole state.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _STATE (the shadow is at another revision: nothing to compare), _DIVERGED (they differ, and the shadow is broken). */
RHZ_API RHZ_NODISCARD rhz_status rhz_shadow_compare(rhz_shadow *shadow, uint64_t revision, const uint8_t owners_digest[16]);

typedef struct rhz_shadow_info {
  size_t struct_size; /* sizeof(rhz_shadow_info) */
  uint64_t revision;  /* of the tensors */
  uint64_t step;      /* newest that was applied */
  uint64_t bytes;     /* of all tensors */
  uint32_t tensor_count;
  uint32_t reserved;
} rhz_shadow_info;
/* Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _ABI, _DIVERGED (it is broken; out_info is filled in, with revision 0). */
RHZ_API RHZ_NODISCARD rhz_status rhz_shadow_info_get(rhz_shadow *shadow, rhz_shadow_info *out_info);

/* The tensors by rising name, as they are now: fills tensors[0 … *inout_count), whose struct_size is set, and sets *inout_count to their number (also when the
 * array is too small: RHZ_ERR_ARGUMENT).  Names are valid until rhz_shadow_close.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _ABI, _DIVERGED (it is broken: its bytes serve nobody). */
RHZ_API RHZ_NODISCARD rhz_status rhz_shadow_tensors(rhz_shadow *shadow, rhz_tensor *tensors, uint32_t *inout_count);

/* NULL: nothing. */
RHZ_API void rhz_shadow_close(rhz_shadow *shadow);

/* The root digest of any tensors, as rhz_state_digest has it of the registered ones: what the owner of a stage gives to its shadow.  The order is
 * that of their names.   Since 1.0.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _ABI. */
RHZ_API RHZ_NODISCARD rhz_status rhz_digest_tensors(const rhz_tensor *tensors, uint32_t tensor_count, uint8_t out_digest[16]);

#ifdef __cplusplus
}
#endif
#endif /* RHIZOME_RHIZOME_SHADOW_H */
