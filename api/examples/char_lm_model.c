#include "char_lm_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <tgmath.h> /* sqrt, log in the precision of lm_real */

#include "char_lm_math.h"

enum { GLOBAL_GROUPS = 5, LAYER_GROUPS = 12 };
enum { BYTE_EMBEDDING, POSITION_EMBEDDING, FINAL_GAIN, FINAL_BIAS, HEAD_WEIGHT };
enum {
  NORM1_GAIN,
  NORM1_BIAS,
  QKV_WEIGHT,
  QKV_BIAS,
  PROJECT_WEIGHT,
  PROJECT_BIAS,
  NORM2_GAIN,
  NORM2_BIAS,
  UP_WEIGHT,
  UP_BIAS,
  DOWN_WEIGHT,
  DOWN_BIAS
};

typedef struct layer {
  lm_norm norm1, norm2;
  lm_real *qkv;        /* [rows][3 * width]: queries, keys, values; each heads * head_width */
  lm_real *attention;  /* [batch][heads][context][context]: weights, rows sum to 1 */
  lm_real *mixed;      /* [rows][width]: the heads' outputs side by side */
  lm_real *gelu;       /* [rows][4 * width] */
  lm_real *gelu_slope; /* [rows][4 * width] */
} layer;

struct lm_model {
  lm_config config;
  size_t rows, head_width, parameter_count, group_count;
  lm_group groups[GLOBAL_GROUPS + LM_MAX_LAYERS * LAYER_GROUPS];
  layer layers[LM_MAX_LAYERS];
  lm_norm final;
  lm_real *stream;   /* [rows][width]: the residual stream; backward: its gradient */
  lm_real *logits;   /* [rows][LM_BYTES]; then probabilities, then the gradient of the logits */
  lm_real *branch;   /* [rows][width]: what a sublayer adds to the stream, or its gradient */
  lm_real *wide;     /* [rows][4 * width]: gradient of gelu, or of qkv */
  lm_real *d_scores; /* [context][context]: one head's */
  lm_real *memory;   /* all of the above */
};

/* ------------------------------------------------------------------------------------ random */

uint64_t lm_random(uint64_t *state) {
  uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return z ^ (z >> 31);
}

/* About N(0, 1): a sum of twelve uniforms.  No logarithm or cosine, which differ between libms. */
static double random_normal(uint64_t *state) {
  double sum = -6.0;
  for (int i = 0; i < 12; i++) sum += (double)(lm_random(state) >> 11) * (1.0 / 9007199254740992.0);
  return sum;
}

/* ------------------------------------------------------------------------------------ layout */

static void add_group(lm_model *m, const char *name, int layer_index, lm_kind kind, size_t count) {
  lm_group group = {name, layer_index, kind, m->parameter_count, count};
  m->groups[m->group_count++] = group;
  m->parameter_count += count;
}

/* In the order of the enums above. */
static void lay_out_parameters(lm_model *m) {
  size_t width = m->config.width;
  add_group(m, "byte_embedding", -1, LM_WEIGHT, LM_BYTES * width);
  add_group(m, "position_embedding", -1, LM_WEIGHT, m->config.context * width);
  add_group(m, "final_gain", -1, LM_GAIN, width);
  add_group(m, "final_bias", -1, LM_BIAS, width);
  add_group(m, "head_weight", -1, LM_WEIGHT, width * LM_BYTES);
  for (int l = 0; l < (int)m->config.layers; l++) {
    add_group(m, "norm1_gain", l, LM_GAIN, width);
    add_group(m, "norm1_bias", l, LM_BIAS, width);
    add_group(m, "qkv_weight", l, LM_WEIGHT, width * 3 * width);
    add_group(m, "qkv_bias", l, LM_BIAS, 3 * width);
    add_group(m, "project_weight", l, LM_WEIGHT, width * width);
    add_group(m, "project_bias", l, LM_BIAS, width);
    add_group(m, "norm2_gain", l, LM_GAIN, width);
    add_group(m, "norm2_bias", l, LM_BIAS, width);
    add_group(m, "up_weight", l, LM_WEIGHT, width * 4 * width);
    add_group(m, "up_bias", l, LM_BIAS, 4 * width);
    add_group(m, "down_weight", l, LM_WEIGHT, 4 * width * width);
    add_group(m, "down_bias", l, LM_BIAS, width);
  }
}

/* The next count elements of base; with base NULL it only adds them up. */
static lm_real *carve(lm_real *base, size_t *used, size_t count) {
  lm_real *part = base ? base + *used : NULL;
  *used += count;
  return part;
}

static lm_norm carve_norm(const lm_model *m, lm_real *base, size_t *used) {
  lm_norm n;
  n.unit = carve(base, used, m->rows * m->config.width);
  n.scale = carve(base, used, m->rows);
  n.out = carve(base, used, m->rows * m->config.width);
  return n;
}

/* Places all activations in base; returns how many elements they take. */
static size_t lay_out_activations(lm_model *m, lm_real *base) {
  size_t used = 0, rows = m->rows, width = m->config.width, context = m->config.context;
  for (size_t l = 0; l < m->config.layers; l++) {
    layer *now = &m->layers[l];
    now->norm1 = carve_norm(m, base, &used);
    now->norm2 = carve_norm(m, base, &used);
    now->qkv = carve(base, &used, rows * 3 * width);
    now->attention = carve(base, &used, rows * m->config.heads * context);
    now->mixed = carve(base, &used, rows * width);
    now->gelu = carve(base, &used, rows * 4 * width);
    now->gelu_slope = carve(base, &used, rows * 4 * width);
  }
  m->final = carve_norm(m, base, &used);
  m->stream = carve(base, &used, rows * width);
  m->logits = carve(base, &used, rows * LM_BYTES);
  m->branch = carve(base, &used, rows * width);
  m->wide = carve(base, &used, rows * 4 * width);
  m->d_scores = carve(base, &used, context * context);
  return used;
}

static int config_is_sane(const lm_config *c) {
  return c->batch && c->context && c->width && c->heads && c->width % c->heads == 0 && c->layers &&
         c->layers <= LM_MAX_LAYERS;
}

lm_model *lm_model_new(const lm_config *config) {
  if (!config_is_sane(config)) return NULL;
  lm_model *m = calloc(1, sizeof(*m));
  if (!m) return NULL;
  m->config = *config;
  m->rows = (size_t)config->batch * config->context;
  m->head_width = config->width / config->heads;
  lay_out_parameters(m);
  m->memory = calloc(lay_out_activations(m, NULL), sizeof(lm_real));
  if (!m->memory) {
    free(m);
    return NULL;
  }
  lay_out_activations(m, m->memory);
  return m;
}

void lm_model_free(lm_model *model) {
  if (!model) return;
  free(model->memory);
  free(model);
}

size_t lm_parameter_count(const lm_model *model) { return model->parameter_count; }

lm_part lm_part_at(const lm_model *model, lm_part_name name) {
  const size_t bounds[LM_PARTS + 1] = {BYTE_EMBEDDING, FINAL_GAIN, GLOBAL_GROUPS,
                                       model->group_count};
  lm_part part = {bounds[name], bounds[name + 1], model->groups[bounds[name]].offset, 0};
  for (size_t g = part.first_group; g < part.group_end; g++) part.count += model->groups[g].count;
  return part;
}

size_t lm_group_count(const lm_model *model) { return model->group_count; }
lm_group lm_group_at(const lm_model *model, size_t index) { return model->groups[index]; }

/* Weights that write to the residual stream start smaller, so that its variance does not grow with
 * the depth (Radford and others, "Language models are unsupervised multitask learners", 2.3). */
static double initial_deviation(const lm_model *m, size_t index) {
  if (m->groups[index].layer < 0) return 0.02;
  size_t in_layer = (index - GLOBAL_GROUPS) % LAYER_GROUPS;
  int writes_stream = in_layer == PROJECT_WEIGHT || in_layer == DOWN_WEIGHT;
  return writes_stream ? 0.02 / sqrt(2.0 * m->config.layers) : 0.02;
}

void lm_initialize(const lm_model *model, uint64_t seed, lm_real *parameters) {
  for (size_t g = 0; g < model->group_count; g++) {
    const lm_group *group = &model->groups[g];
    lm_real *part = parameters + group->offset;
    double deviation = initial_deviation(model, g);
    for (size_t i = 0; i < group->count; i++) {
      if (group->kind == LM_WEIGHT)
        part[i] = (lm_real)(deviation * random_normal(&seed));
      else
        part[i] = group->kind == LM_GAIN ? 1 : 0;
    }
  }
}

/* Where a group starts in an array laid out like the parameters. */
static size_t at(const lm_model *m, size_t layer_index, size_t group) {
  return m->groups[GLOBAL_GROUPS + layer_index * LAYER_GROUPS + group].offset;
}

/* ------------------------------------------------------------------------------------ attention */

/* One head of one sequence: its part of qkv and of mixed, and its attention weights. */
typedef struct head {
  size_t qkv, mixed, attention; /* offsets */
} head;

static head head_at(const lm_model *m, size_t sequence, size_t index) {
  size_t context = m->config.context, width = m->config.width;
  head h;
  h.qkv = sequence * context * 3 * width + index * m->head_width;
  h.mixed = sequence * context * width + index * m->head_width;
  h.attention = (sequence * m->config.heads + index) * context * context;
  return h;
}

/* attention = lm_softmax(scale * queries * keysᵀ), causal; mixed = attention * values. */
static void attention_forward(const lm_model *m, layer *now) {
  size_t context = m->config.context, width = m->config.width, qkv_row = 3 * width;
  lm_real scale = 1 / sqrt((lm_real)m->head_width);
  lm_set_zero(now->mixed, m->rows * width);
  lm_set_zero(now->attention, m->rows * m->config.heads * context);
  for (size_t i = 0; i < (size_t)m->config.batch * m->config.heads; i++) {
    head h = head_at(m, i / m->config.heads, i % m->config.heads);
    const lm_real *queries = now->qkv + h.qkv, *keys = queries + width, *values = keys + width;
    lm_real *weights = now->attention + h.attention;
    lm_add_product(weights, context, lm_as_is(queries, qkv_row), lm_transposed(keys, qkv_row),
                   context, m->head_width, context);
    for (size_t t = 0; t < context; t++) {
      lm_real *row = weights + t * context;
      for (size_t s = 0; s <= t; s++) row[s] *= scale;
      lm_softmax(row, t + 1);
      lm_set_zero(row + t + 1, context - t - 1);
    }
    lm_add_product(now->mixed + h.mixed, width, lm_as_is(weights, context),
                   lm_as_is(values, qkv_row), context, context, m->head_width);
  }
}

/* d_weights[context][context] becomes the gradient of the scores before scaling.  Future positions
 * have weight 0 and so get gradient 0. */
static void scores_backward(lm_real *d_weights, const lm_real *weights, size_t context,
                            lm_real scale) {
  for (size_t t = 0; t < context; t++, d_weights += context, weights += context) {
    lm_real dot = 0;
    for (size_t s = 0; s <= t; s++) dot += d_weights[s] * weights[s];
    for (size_t s = 0; s < context; s++) d_weights[s] = weights[s] * (d_weights[s] - dot) * scale;
  }
}

/* Overwrites d_qkv[rows][3 * width], given d_mixed[rows][width]. */
static void attention_backward(const lm_model *m, const layer *now, lm_real *d_qkv,
                               const lm_real *d_mixed) {
  size_t context = m->config.context, width = m->config.width, qkv_row = 3 * width;
  lm_real scale = 1 / sqrt((lm_real)m->head_width);
  lm_set_zero(d_qkv, m->rows * qkv_row);
  for (size_t i = 0; i < (size_t)m->config.batch * m->config.heads; i++) {
    head h = head_at(m, i / m->config.heads, i % m->config.heads);
    const lm_real *queries = now->qkv + h.qkv, *keys = queries + width, *values = keys + width;
    const lm_real *weights = now->attention + h.attention, *d_out = d_mixed + h.mixed;
    lm_real *d_queries = d_qkv + h.qkv, *d_keys = d_queries + width, *d_values = d_keys + width;
    lm_real *d_scores = m->d_scores;
    lm_add_product(d_values, qkv_row, lm_transposed(weights, context), lm_as_is(d_out, width),
                   context, context, m->head_width);
    lm_set_zero(d_scores, context * context);
    lm_add_product(d_scores, context, lm_as_is(d_out, width), lm_transposed(values, qkv_row),
                   context, m->head_width, context);
    scores_backward(d_scores, weights, context, scale);
    lm_add_product(d_queries, qkv_row, lm_as_is(d_scores, context), lm_as_is(keys, qkv_row),
                   context, context, m->head_width);
    lm_add_product(d_keys, qkv_row, lm_transposed(d_scores, context), lm_as_is(queries, qkv_row),
                   context, context, m->head_width);
  }
}

/* ------------------------------------------------------------------------------------ model */

void lm_embed(lm_model *model, const lm_real *parameters, const uint8_t *inputs) {
  lm_model *m = model;
  const lm_real *p = parameters;
  size_t width = m->config.width;
  for (size_t r = 0; r < m->rows; r++) {
    const lm_real *byte = p + m->groups[BYTE_EMBEDDING].offset + inputs[r] * width;
    const lm_real *position =
        p + m->groups[POSITION_EMBEDDING].offset + r % m->config.context * width;
    for (size_t i = 0; i < width; i++) m->stream[r * width + i] = byte[i] + position[i];
  }
}

void lm_embed_backward(const lm_model *model, const uint8_t *inputs, lm_real *gradient) {
  const lm_model *m = model;
  lm_real *g = gradient;
  size_t width = m->config.width;
  for (size_t r = 0; r < m->rows; r++) {
    const lm_real *d_row = m->stream + r * width;
    lm_add_to(g + m->groups[BYTE_EMBEDDING].offset + inputs[r] * width, d_row, width);
    lm_add_to(g + m->groups[POSITION_EMBEDDING].offset + r % m->config.context * width, d_row,
              width);
  }
}

/* stream += attention(norm1(stream)); stream += mlp(norm2(stream)). */
static void layer_forward(lm_model *m, const lm_real *p, size_t l) {
  layer *now = &m->layers[l];
  size_t rows = m->rows, width = m->config.width;
  lm_norm_forward(&now->norm1, m->stream, p + at(m, l, NORM1_GAIN), p + at(m, l, NORM1_BIAS), rows,
                  width);
  lm_linear_forward(now->qkv, now->norm1.out, p + at(m, l, QKV_WEIGHT), p + at(m, l, QKV_BIAS),
                    rows, width, 3 * width);
  attention_forward(m, now);
  lm_linear_forward(m->branch, now->mixed, p + at(m, l, PROJECT_WEIGHT), p + at(m, l, PROJECT_BIAS),
                    rows, width, width);
  lm_add_to(m->stream, m->branch, rows * width);

  lm_norm_forward(&now->norm2, m->stream, p + at(m, l, NORM2_GAIN), p + at(m, l, NORM2_BIAS), rows,
                  width);
  lm_linear_forward(now->gelu_slope, now->norm2.out, p + at(m, l, UP_WEIGHT), p + at(m, l, UP_BIAS),
                    rows, width, 4 * width);
  lm_gelu_forward(now->gelu, now->gelu_slope, rows * 4 * width);
  lm_linear_forward(m->branch, now->gelu, p + at(m, l, DOWN_WEIGHT), p + at(m, l, DOWN_BIAS), rows,
                    4 * width, width);
  lm_add_to(m->stream, m->branch, rows * width);
}

/* The same, last to first; stream holds the gradient of the stream. */
static void layer_backward(lm_model *m, const lm_real *p, lm_real *g, size_t l) {
  layer *now = &m->layers[l];
  size_t rows = m->rows, width = m->config.width;
  lm_linear_backward(m->wide, g + at(m, l, DOWN_WEIGHT), g + at(m, l, DOWN_BIAS), m->stream,
                     now->gelu, p + at(m, l, DOWN_WEIGHT), rows, 4 * width, width);
  for (size_t i = 0; i < rows * 4 * width; i++) m->wide[i] *= now->gelu_slope[i];
  lm_linear_backward(m->branch, g + at(m, l, UP_WEIGHT), g + at(m, l, UP_BIAS), m->wide,
                     now->norm2.out, p + at(m, l, UP_WEIGHT), rows, width, 4 * width);
  lm_norm_backward(&now->norm2, m->stream, g + at(m, l, NORM2_GAIN), g + at(m, l, NORM2_BIAS),
                   m->branch, p + at(m, l, NORM2_GAIN), rows, width);

  lm_linear_backward(m->branch, g + at(m, l, PROJECT_WEIGHT), g + at(m, l, PROJECT_BIAS), m->stream,
                     now->mixed, p + at(m, l, PROJECT_WEIGHT), rows, width, width);
  attention_backward(m, now, m->wide, m->branch);
  lm_linear_backward(m->branch, g + at(m, l, QKV_WEIGHT), g + at(m, l, QKV_BIAS), m->wide,
                     now->norm1.out, p + at(m, l, QKV_WEIGHT), rows, width, 3 * width);
  lm_norm_backward(&now->norm1, m->stream, g + at(m, l, NORM1_GAIN), g + at(m, l, NORM1_BIAS),
                   m->branch, p + at(m, l, NORM1_GAIN), rows, width);
}

/* The mean loss; logits become its gradient, (probability - [is target]) / rows. */
static lm_real cross_entropy(lm_model *m, const uint8_t *targets) {
  double sum = 0;
  lm_real share = 1 / (lm_real)m->rows;
  for (size_t r = 0; r < m->rows; r++) {
    lm_real *row = m->logits + r * LM_BYTES;
    lm_softmax(row, LM_BYTES);
    lm_real probability = row[targets[r]];
    /* A probability that underflowed counts as 1e-30, not as an infinite loss. */
    sum -= log((double)probability > 1e-30 ? (double)probability : 1e-30);
    row[targets[r]] -= 1;
    for (size_t i = 0; i < LM_BYTES; i++) row[i] *= share;
  }
  return (lm_real)(sum / (double)m->rows);
}

void lm_layers_forward(lm_model *model, const lm_real *parameters) {
  for (size_t l = 0; l < model->config.layers; l++) layer_forward(model, parameters, l);
}

lm_real lm_head_forward(lm_model *model, const lm_real *parameters, const uint8_t *targets) {
  lm_model *m = model;
  const lm_group *groups = m->groups;
  size_t rows = m->rows, width = m->config.width;
  lm_norm_forward(&m->final, m->stream, parameters + groups[FINAL_GAIN].offset,
                  parameters + groups[FINAL_BIAS].offset, rows, width);
  lm_linear_forward(m->logits, m->final.out, parameters + groups[HEAD_WEIGHT].offset, NULL, rows,
                    width, LM_BYTES);
  return cross_entropy(m, targets);
}

void lm_head_backward(lm_model *model, const lm_real *parameters, lm_real *gradient) {
  lm_model *m = model;
  const lm_group *groups = m->groups;
  size_t rows = m->rows, width = m->config.width;
  lm_linear_backward(m->branch, gradient + groups[HEAD_WEIGHT].offset, NULL, m->logits,
                     m->final.out, parameters + groups[HEAD_WEIGHT].offset, rows, width, LM_BYTES);
  lm_set_zero(m->stream, rows * width);
  lm_norm_backward(&m->final, m->stream, gradient + groups[FINAL_GAIN].offset,
                   gradient + groups[FINAL_BIAS].offset, m->branch,
                   parameters + groups[FINAL_GAIN].offset, rows, width);
}

void lm_layers_backward(lm_model *model, const lm_real *parameters, lm_real *gradient) {
  for (size_t l = model->config.layers; l-- > 0;) layer_backward(model, parameters, gradient, l);
}

lm_real *lm_stream(lm_model *model) { return model->stream; }

lm_real lm_loss(lm_model *model, const lm_real *parameters, const uint8_t *inputs,
                const uint8_t *targets, lm_real *gradient) {
  lm_embed(model, parameters, inputs);
  lm_layers_forward(model, parameters);
  lm_real loss = lm_head_forward(model, parameters, targets);
  if (!gradient) return loss;
  lm_set_zero(gradient, model->parameter_count);
  lm_head_backward(model, parameters, gradient);
  lm_layers_backward(model, parameters, gradient);
  lm_embed_backward(model, inputs, gradient);
  return loss;
}

/* ------------------------------------------------------------------------------------ optimizer */

double lm_clip(lm_real *gradient, size_t count, double max_norm) {
  double squares = 0;
  for (size_t i = 0; i < count; i++) squares += (double)gradient[i] * (double)gradient[i];
  double norm_now = sqrt(squares);
  if (!(norm_now > max_norm)) return norm_now;
  lm_real factor = (lm_real)(max_norm / norm_now);
  for (size_t i = 0; i < count; i++) gradient[i] *= factor;
  return norm_now;
}

/* base^exponent by squaring: unlike pow(), the same bits under every libm, and peers must agree. */
static double integer_power(double base, uint64_t exponent) {
  double power = 1;
  for (; exponent; exponent >>= 1, base *= base) {
    if (exponent & 1) power *= base;
  }
  return power;
}

void lm_adamw(const lm_model *model, lm_real *parameters, const lm_real *gradient, lm_real *first,
              lm_real *second, uint64_t step, double learning_rate) {
  const lm_part all = {0, model->group_count, 0, model->parameter_count};
  lm_adamw_part(model, all, parameters, gradient, first, second, step, learning_rate);
}

void lm_adamw_part(const lm_model *model, lm_part part, lm_real *parameters,
                   const lm_real *gradient, lm_real *first, lm_real *second, uint64_t step,
                   double learning_rate) {
  const double beta1 = 0.9, beta2 = 0.99, weight_decay = 0.01;
  const lm_real b1 = (lm_real)beta1, b2 = (lm_real)beta2, epsilon = (lm_real)1e-8;
  const lm_real rate = (lm_real)(learning_rate / (1 - integer_power(beta1, step)));
  const lm_real root = (lm_real)(1 / sqrt(1 - integer_power(beta2, step)));
  for (size_t g = part.first_group; g < part.group_end; g++) {
    const lm_group *group = &model->groups[g];
    lm_real keep = (lm_real)(group->kind == LM_WEIGHT ? 1 - learning_rate * weight_decay : 1);
    for (size_t i = group->offset; i < group->offset + group->count; i++) {
      first[i] = b1 * first[i] + (1 - b1) * gradient[i];
      second[i] = b2 * second[i] + (1 - b2) * gradient[i] * gradient[i];
      parameters[i] = keep * parameters[i] - rate * first[i] / (sqrt(second[i]) * root + epsilon);
    }
  }
}
