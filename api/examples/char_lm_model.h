/* A small byte-level transformer language model with its optimizer: pure C99, one thread, no
 * dependency besides libm.
 *
 * All parameters lie in one flat array that the caller owns, and so do the gradients and AdamW's
 * moments: a trainer can average, copy or digest each of them as one tensor.  The model itself
 * holds shapes and the activations of the pass in flight.
 *
 * Everything here runs in a fixed order of operations: equal inputs give equal bits.
 *
 * Shapes   rows = batch * context; row r is byte r % context of sequence r / context.
 *          Matrices are row-major; a linear layer is out[rows][outputs] = in[rows][inputs] *
 *          weight[inputs][outputs] + bias[outputs]. */
#ifndef CHAR_LM_MODEL_H
#define CHAR_LM_MODEL_H

#include <stddef.h>
#include <stdint.h>

/* The scalar type.  The gradient test builds the model with double, so that central differences
 * are exact enough to compare with. */
#ifndef CHAR_LM_REAL
#define CHAR_LM_REAL float
#endif
typedef CHAR_LM_REAL lm_real;

enum { LM_BYTES = 256, LM_MAX_LAYERS = 8 };

typedef struct lm_config {
  uint32_t batch;   /* sequences a step */
  uint32_t context; /* bytes a sequence */
  uint32_t width;   /* of the residual stream; a multiple of heads */
  uint32_t heads;
  uint32_t layers; /* 1 … LM_MAX_LAYERS */
} lm_config;

typedef enum lm_kind { LM_WEIGHT, LM_GAIN, LM_BIAS } lm_kind;

/* One named part of the flat parameter array. */
typedef struct lm_group {
  const char *name;
  int layer; /* -1: belongs to no layer */
  lm_kind kind;
  size_t offset, count; /* in elements */
} lm_group;

/* The parameters in three ranges, in this order.  Those of the layers lie last: a model with other
 * layers, but the same width and context, has the other two in the same places, and a pipeline cuts
 * a big model's layers into those of its stages. */
typedef enum lm_part_name { LM_EMBEDDING, LM_HEAD, LM_LAYERS, LM_PARTS } lm_part_name;

typedef struct lm_part {
  size_t first_group, group_end;
  size_t offset, count; /* in elements */
} lm_part;

typedef struct lm_model lm_model;

/* The caller frees the model with lm_model_free.  NULL: out of memory, or a configuration that
 * makes no sense. */
lm_model *lm_model_new(const lm_config *config);
void lm_model_free(lm_model *model);

size_t lm_parameter_count(const lm_model *model);
size_t lm_group_count(const lm_model *model);
lm_group lm_group_at(const lm_model *model, size_t index);

lm_part lm_part_at(const lm_model *model, lm_part_name name);

/* Fills parameters[lm_parameter_count]; the same seed gives the same bits on every host. */
void lm_initialize(const lm_model *model, uint64_t seed, lm_real *parameters);

/* Mean cross-entropy, in nats a byte, of targets[rows] given inputs[rows]; writes its gradient by
 * the parameters to gradient[lm_parameter_count].  gradient NULL: the loss only. */
lm_real lm_loss(lm_model *model, const lm_real *parameters, const uint8_t *inputs,
                const uint8_t *targets, lm_real *gradient);

/* The pieces that lm_loss is made of, for those who compute a part of it only.  Between them the
 * residual stream, or its gradient, is in lm_stream, [rows][width].  A backward piece wants the
 * activations of its forward one, and adds to gradient. */
lm_real *lm_stream(lm_model *model);
void lm_embed(lm_model *model, const lm_real *parameters, const uint8_t *inputs);
void lm_layers_forward(lm_model *model, const lm_real *parameters);
lm_real lm_head_forward(lm_model *model, const lm_real *parameters, const uint8_t *targets);
void lm_head_backward(lm_model *model, const lm_real *parameters, lm_real *gradient);
void lm_layers_backward(lm_model *model, const lm_real *parameters, lm_real *gradient);
void lm_embed_backward(const lm_model *model, const uint8_t *inputs, lm_real *gradient);

/* Scales gradient[count] down to an L2 norm of at most max_norm; returns the norm that it had. */
double lm_clip(lm_real *gradient, size_t count, double max_norm);

/* AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", algorithm 2).  first and
 * second are the moments, [lm_parameter_count] each, zero before the first step; step counts from
 * 1.  Weights decay; gains and biases do not. */
void lm_adamw(const lm_model *model, lm_real *parameters, const lm_real *gradient, lm_real *first,
              lm_real *second, uint64_t step, double learning_rate);

/* The same for one part: the others are neither read nor written. */
void lm_adamw_part(const lm_model *model, lm_part part, lm_real *parameters,
                   const lm_real *gradient, lm_real *first, lm_real *second, uint64_t step,
                   double learning_rate);

/* The next number of a SplitMix64 stream (Steele, Lea, Flood, "Fast splittable pseudorandom number
 * generators"); *state is all there is to save. */
uint64_t lm_random(uint64_t *state);

#endif /* CHAR_LM_MODEL_H */
