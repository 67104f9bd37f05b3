#include "char_lm_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <tgmath.h> /* sqrt, exp, … in the precision of lm_real */

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

/* What the backward pass of a layer norm needs. */
typedef struct norm {
  lm_real *unit;  /* [rows][width]: the input at mean 0 and variance 1 */
  lm_real *scale; /* [rows]: 1 / standard deviation of the input */
  lm_real *out;   /* [rows][width] */
} norm;

typedef struct layer {
  norm norm1, norm2;
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
  norm final;
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

static norm carve_norm(const lm_model *m, lm_real *base, size_t *used) {
  norm n;
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

/* ------------------------------------------------------------------------------------ matrices */

/* A matrix inside some array: element (i, j) is data[i * row + j * column]. */
typedef struct matrix {
  const lm_real *data;
  size_t row, column;
} matrix;

static matrix as_is(const lm_real *data, size_t stride) {
  matrix view = {data, stride, 1};
  return view;
}

static matrix transposed(const lm_real *data, size_t stride) {
  matrix view = {data, 1, stride};
  return view;
}

/* Blocks: a panel of B is copied to contiguous memory, PANEL_DEPTH x PANEL_COLUMNS elements (64 KiB
 * of floats, for the second-level cache); four rows of it and BLOCK_ROWS rows of C (18 KiB) then
 * stay in the first-level cache. */
enum { PANEL_DEPTH = 128, PANEL_COLUMNS = 128, BLOCK_ROWS = 32 };

/* c[j] += a[0] * b[0][j] + … + a[3] * b[3][j].  Four products for one load and one store of c keep
 * the loop bound by arithmetic; no sum runs across lanes, so that it vectorises without reordering
 * (a dot product would not). */
static void add_four_rows(lm_real *restrict c, const lm_real *restrict b, const lm_real a[4],
                          size_t columns) {
  const lm_real a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3];
  for (size_t j = 0; j < columns; j++) {
    c[j] += a0 * b[j] + a1 * b[PANEL_COLUMNS + j] + a2 * b[2 * PANEL_COLUMNS + j] +
            a3 * b[3 * PANEL_COLUMNS + j];
  }
}

/* Copies b's block at (depth0, column0) to panel; rows up to the next multiple of four are zero. */
static size_t pack_panel(lm_real *panel, matrix b, size_t depth, size_t columns) {
  for (size_t p = 0; p < depth; p++) {
    for (size_t j = 0; j < columns; j++)
      panel[p * PANEL_COLUMNS + j] = b.data[p * b.row + j * b.column];
  }
  size_t padded = (depth + 3) / 4 * 4;
  for (size_t p = depth; p < padded; p++)
    memset(panel + p * PANEL_COLUMNS, 0, columns * sizeof(lm_real));
  return padded;
}

/* c[rows][columns] += a[rows][depth] * panel, for one packed panel. */
static void add_panel_product(lm_real *c, size_t c_row, matrix a, const lm_real *panel, size_t rows,
                              size_t depth, size_t padded, size_t columns) {
  for (size_t first = 0; first < rows; first += BLOCK_ROWS) {
    size_t end = first + BLOCK_ROWS < rows ? first + BLOCK_ROWS : rows;
    for (size_t p = 0; p < padded; p += 4) {
      for (size_t i = first; i < end; i++) {
        lm_real four[4];
        for (size_t q = 0; q < 4; q++)
          four[q] = p + q < depth ? a.data[i * a.row + (p + q) * a.column] : 0;
        add_four_rows(c + i * c_row, panel + p * PANEL_COLUMNS, four, columns);
      }
    }
  }
}

/* c[rows][columns] += a[rows][depth] * b[depth][columns]; rows of c are c_row elements apart. */
static void add_product(lm_real *c, size_t c_row, matrix a, matrix b, size_t rows, size_t depth,
                        size_t columns) {
  lm_real panel[PANEL_DEPTH * PANEL_COLUMNS];
  for (size_t j = 0; j < columns; j += PANEL_COLUMNS) {
    size_t some_columns = columns - j < PANEL_COLUMNS ? columns - j : PANEL_COLUMNS;
    for (size_t p = 0; p < depth; p += PANEL_DEPTH) {
      size_t some_depth = depth - p < PANEL_DEPTH ? depth - p : PANEL_DEPTH;
      matrix b_block = {b.data + p * b.row + j * b.column, b.row, b.column};
      matrix a_block = {a.data + p * a.column, a.row, a.column};
      size_t padded = pack_panel(panel, b_block, some_depth, some_columns);
      add_panel_product(c + j, c_row, a_block, panel, rows, some_depth, padded, some_columns);
    }
  }
}

static void set_zero(lm_real *data, size_t count) { memset(data, 0, count * sizeof(*data)); }

static void add_to(lm_real *restrict sum, const lm_real *restrict term, size_t count) {
  for (size_t i = 0; i < count; i++) sum[i] += term[i];
}

/* ------------------------------------------------------------------------------------ parts */

/* Where a group starts in an array laid out like the parameters. */
static size_t at(const lm_model *m, size_t layer_index, size_t group) {
  return m->groups[GLOBAL_GROUPS + layer_index * LAYER_GROUPS + group].offset;
}

/* bias NULL: none. */
static void linear_forward(lm_real *out, const lm_real *in, const lm_real *weight,
                           const lm_real *bias, size_t rows, size_t inputs, size_t outputs) {
  for (size_t r = 0; r < rows; r++) {
    if (bias)
      memcpy(out + r * outputs, bias, outputs * sizeof(*out));
    else
      set_zero(out + r * outputs, outputs);
  }
  add_product(out, outputs, as_is(in, inputs), as_is(weight, outputs), rows, inputs, outputs);
}

/* Overwrites d_in; adds to d_weight and d_bias (NULL: none). */
static void linear_backward(lm_real *d_in, lm_real *d_weight, lm_real *d_bias, const lm_real *d_out,
                            const lm_real *in, const lm_real *weight, size_t rows, size_t inputs,
                            size_t outputs) {
  add_product(d_weight, outputs, transposed(in, inputs), as_is(d_out, outputs), inputs, rows,
              outputs);
  set_zero(d_in, rows * inputs);
  add_product(d_in, inputs, as_is(d_out, outputs), transposed(weight, outputs), rows, outputs,
              inputs);
  for (size_t r = 0; d_bias && r < rows; r++) add_to(d_bias, d_out + r * outputs, outputs);
}

static void norm_forward(const lm_model *m, norm *n, const lm_real *in, const lm_real *gain,
                         const lm_real *bias) {
  size_t width = m->config.width;
  for (size_t r = 0; r < m->rows; r++, in += width) {
    lm_real mean = 0, variance = 0;
    for (size_t i = 0; i < width; i++) mean += in[i];
    mean /= (lm_real)width;
    for (size_t i = 0; i < width; i++) variance += (in[i] - mean) * (in[i] - mean);
    lm_real scale = 1 / sqrt(variance / (lm_real)width + (lm_real)1e-5);
    lm_real *unit = n->unit + r * width, *out = n->out + r * width;
    for (size_t i = 0; i < width; i++) {
      unit[i] = (in[i] - mean) * scale;
      out[i] = unit[i] * gain[i] + bias[i];
    }
    n->scale[r] = scale;
  }
}

/* Adds to d_in, d_gain and d_bias.  With g = d_out * gain, the gradient of the input is
 * scale * (g - mean(g) - unit * mean(g * unit)). */
static void norm_backward(const lm_model *m, const norm *n, lm_real *d_in, lm_real *d_gain,
                          lm_real *d_bias, const lm_real *d_out, const lm_real *gain) {
  size_t width = m->config.width;
  for (size_t r = 0; r < m->rows; r++, d_in += width, d_out += width) {
    const lm_real *unit = n->unit + r * width;
    lm_real mean = 0, mean_along_unit = 0;
    for (size_t i = 0; i < width; i++) {
      mean += d_out[i] * gain[i];
      mean_along_unit += d_out[i] * gain[i] * unit[i];
    }
    mean /= (lm_real)width;
    mean_along_unit /= (lm_real)width;
    for (size_t i = 0; i < width; i++) {
      d_in[i] += n->scale[r] * (d_out[i] * gain[i] - mean - unit[i] * mean_along_unit);
      d_gain[i] += d_out[i] * unit[i];
      d_bias[i] += d_out[i];
    }
  }
}

/* GELU in its tanh form (Hendrycks and Gimpel, "Gaussian error linear units").  Overwrites the
 * input with the slope there: the backward pass needs nothing else. */
static void gelu_forward(lm_real *out, lm_real *in_then_slope, size_t count) {
  const lm_real root = (lm_real)0.7978845608028654, cubic = (lm_real)0.044715; /* root: √(2/π) */
  const lm_real half = (lm_real)0.5;
  for (size_t i = 0; i < count; i++) {
    lm_real x = in_then_slope[i];
    lm_real t = tanh(root * (x + cubic * x * x * x));
    out[i] = half * x * (1 + t);
    in_then_slope[i] = half * (1 + t) + half * x * (1 - t * t) * root * (1 + 3 * cubic * x * x);
  }
}

/* Turns logits[visible] into probabilities. */
static void softmax(lm_real *logits, size_t visible) {
  lm_real highest = logits[0], sum = 0;
  for (size_t i = 1; i < visible; i++) highest = logits[i] > highest ? logits[i] : highest;
  for (size_t i = 0; i < visible; i++) sum += logits[i] = exp(logits[i] - highest);
  lm_real inverse = 1 / sum;
  for (size_t i = 0; i < visible; i++) logits[i] *= inverse;
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

/* attention = softmax(scale * queries * keysᵀ), causal; mixed = attention * values. */
static void attention_forward(const lm_model *m, layer *now) {
  size_t context = m->config.context, width = m->config.width, qkv_row = 3 * width;
  lm_real scale = 1 / sqrt((lm_real)m->head_width);
  set_zero(now->mixed, m->rows * width);
  set_zero(now->attention, m->rows * m->config.heads * context);
  for (size_t i = 0; i < (size_t)m->config.batch * m->config.heads; i++) {
    head h = head_at(m, i / m->config.heads, i % m->config.heads);
    const lm_real *queries = now->qkv + h.qkv, *keys = queries + width, *values = keys + width;
    lm_real *weights = now->attention + h.attention;
    add_product(weights, context, as_is(queries, qkv_row), transposed(keys, qkv_row), context,
                m->head_width, context);
    for (size_t t = 0; t < context; t++) {
      lm_real *row = weights + t * context;
      for (size_t s = 0; s <= t; s++) row[s] *= scale;
      softmax(row, t + 1);
      set_zero(row + t + 1, context - t - 1);
    }
    add_product(now->mixed + h.mixed, width, as_is(weights, context), as_is(values, qkv_row),
                context, context, m->head_width);
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
  set_zero(d_qkv, m->rows * qkv_row);
  for (size_t i = 0; i < (size_t)m->config.batch * m->config.heads; i++) {
    head h = head_at(m, i / m->config.heads, i % m->config.heads);
    const lm_real *queries = now->qkv + h.qkv, *keys = queries + width, *values = keys + width;
    const lm_real *weights = now->attention + h.attention, *d_out = d_mixed + h.mixed;
    lm_real *d_queries = d_qkv + h.qkv, *d_keys = d_queries + width, *d_values = d_keys + width;
    lm_real *d_scores = m->d_scores;
    add_product(d_values, qkv_row, transposed(weights, context), as_is(d_out, width), context,
                context, m->head_width);
    set_zero(d_scores, context * context);
    add_product(d_scores, context, as_is(d_out, width), transposed(values, qkv_row), context,
                m->head_width, context);
    scores_backward(d_scores, weights, context, scale);
    add_product(d_queries, qkv_row, as_is(d_scores, context), as_is(keys, qkv_row), context,
                context, m->head_width);
    add_product(d_keys, qkv_row, transposed(d_scores, context), as_is(queries, qkv_row), context,
                context, m->head_width);
  }
}

/* ------------------------------------------------------------------------------------ model */

static void embed(lm_model *m, const lm_real *p, const uint8_t *inputs) {
  size_t width = m->config.width;
  for (size_t r = 0; r < m->rows; r++) {
    const lm_real *byte = p + m->groups[BYTE_EMBEDDING].offset + inputs[r] * width;
    const lm_real *position =
        p + m->groups[POSITION_EMBEDDING].offset + r % m->config.context * width;
    for (size_t i = 0; i < width; i++) m->stream[r * width + i] = byte[i] + position[i];
  }
}

static void embed_backward(const lm_model *m, lm_real *g, const uint8_t *inputs) {
  size_t width = m->config.width;
  for (size_t r = 0; r < m->rows; r++) {
    const lm_real *d_row = m->stream + r * width;
    add_to(g + m->groups[BYTE_EMBEDDING].offset + inputs[r] * width, d_row, width);
    add_to(g + m->groups[POSITION_EMBEDDING].offset + r % m->config.context * width, d_row, width);
  }
}

/* stream += attention(norm1(stream)); stream += mlp(norm2(stream)). */
static void layer_forward(lm_model *m, const lm_real *p, size_t l) {
  layer *now = &m->layers[l];
  size_t rows = m->rows, width = m->config.width;
  norm_forward(m, &now->norm1, m->stream, p + at(m, l, NORM1_GAIN), p + at(m, l, NORM1_BIAS));
  linear_forward(now->qkv, now->norm1.out, p + at(m, l, QKV_WEIGHT), p + at(m, l, QKV_BIAS), rows,
                 width, 3 * width);
  attention_forward(m, now);
  linear_forward(m->branch, now->mixed, p + at(m, l, PROJECT_WEIGHT), p + at(m, l, PROJECT_BIAS),
                 rows, width, width);
  add_to(m->stream, m->branch, rows * width);

  norm_forward(m, &now->norm2, m->stream, p + at(m, l, NORM2_GAIN), p + at(m, l, NORM2_BIAS));
  linear_forward(now->gelu_slope, now->norm2.out, p + at(m, l, UP_WEIGHT), p + at(m, l, UP_BIAS),
                 rows, width, 4 * width);
  gelu_forward(now->gelu, now->gelu_slope, rows * 4 * width);
  linear_forward(m->branch, now->gelu, p + at(m, l, DOWN_WEIGHT), p + at(m, l, DOWN_BIAS), rows,
                 4 * width, width);
  add_to(m->stream, m->branch, rows * width);
}

/* The same, last to first; stream holds the gradient of the stream. */
static void layer_backward(lm_model *m, const lm_real *p, lm_real *g, size_t l) {
  layer *now = &m->layers[l];
  size_t rows = m->rows, width = m->config.width;
  linear_backward(m->wide, g + at(m, l, DOWN_WEIGHT), g + at(m, l, DOWN_BIAS), m->stream, now->gelu,
                  p + at(m, l, DOWN_WEIGHT), rows, 4 * width, width);
  for (size_t i = 0; i < rows * 4 * width; i++) m->wide[i] *= now->gelu_slope[i];
  linear_backward(m->branch, g + at(m, l, UP_WEIGHT), g + at(m, l, UP_BIAS), m->wide,
                  now->norm2.out, p + at(m, l, UP_WEIGHT), rows, width, 4 * width);
  norm_backward(m, &now->norm2, m->stream, g + at(m, l, NORM2_GAIN), g + at(m, l, NORM2_BIAS),
                m->branch, p + at(m, l, NORM2_GAIN));

  linear_backward(m->branch, g + at(m, l, PROJECT_WEIGHT), g + at(m, l, PROJECT_BIAS), m->stream,
                  now->mixed, p + at(m, l, PROJECT_WEIGHT), rows, width, width);
  attention_backward(m, now, m->wide, m->branch);
  linear_backward(m->branch, g + at(m, l, QKV_WEIGHT), g + at(m, l, QKV_BIAS), m->wide,
                  now->norm1.out, p + at(m, l, QKV_WEIGHT), rows, width, 3 * width);
  norm_backward(m, &now->norm1, m->stream, g + at(m, l, NORM1_GAIN), g + at(m, l, NORM1_BIAS),
                m->branch, p + at(m, l, NORM1_GAIN));
}

/* The mean loss; logits become its gradient, (probability - [is target]) / rows. */
static lm_real cross_entropy(lm_model *m, const uint8_t *targets) {
  double sum = 0;
  lm_real share = 1 / (lm_real)m->rows;
  for (size_t r = 0; r < m->rows; r++) {
    lm_real *row = m->logits + r * LM_BYTES;
    softmax(row, LM_BYTES);
    lm_real probability = row[targets[r]];
    /* A probability that underflowed counts as 1e-30, not as an infinite loss. */
    sum -= log((double)probability > 1e-30 ? (double)probability : 1e-30);
    row[targets[r]] -= 1;
    for (size_t i = 0; i < LM_BYTES; i++) row[i] *= share;
  }
  return (lm_real)(sum / (double)m->rows);
}

lm_real lm_loss(lm_model *model, const lm_real *parameters, const uint8_t *inputs,
                const uint8_t *targets, lm_real *gradient) {
  lm_model *m = model;
  const lm_real *p = parameters;
  const lm_group *groups = m->groups;
  size_t width = m->config.width;
  embed(m, p, inputs);
  for (size_t l = 0; l < m->config.layers; l++) layer_forward(m, p, l);
  norm_forward(m, &m->final, m->stream, p + groups[FINAL_GAIN].offset,
               p + groups[FINAL_BIAS].offset);
  linear_forward(m->logits, m->final.out, p + groups[HEAD_WEIGHT].offset, NULL, m->rows, width,
                 LM_BYTES);
  lm_real loss = cross_entropy(m, targets);
  if (!gradient) return loss;

  set_zero(gradient, m->parameter_count);
  linear_backward(m->branch, gradient + groups[HEAD_WEIGHT].offset, NULL, m->logits, m->final.out,
                  p + groups[HEAD_WEIGHT].offset, m->rows, width, LM_BYTES);
  set_zero(m->stream, m->rows * width);
  norm_backward(m, &m->final, m->stream, gradient + groups[FINAL_GAIN].offset,
                gradient + groups[FINAL_BIAS].offset, m->branch, p + groups[FINAL_GAIN].offset);
  for (size_t l = m->config.layers; l-- > 0;) layer_backward(m, p, gradient, l);
  embed_backward(m, gradient, inputs);
  return loss;
}

/* ------------------------------------------------------------------------------------ optimizer */

void lm_clip(lm_real *gradient, size_t count, double max_norm) {
  double squares = 0;
  for (size_t i = 0; i < count; i++) squares += (double)gradient[i] * (double)gradient[i];
  double norm_now = sqrt(squares);
  if (!(norm_now > max_norm)) return;
  lm_real factor = (lm_real)(max_norm / norm_now);
  for (size_t i = 0; i < count; i++) gradient[i] *= factor;
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
  const double beta1 = 0.9, beta2 = 0.99, weight_decay = 0.01;
  const lm_real b1 = (lm_real)beta1, b2 = (lm_real)beta2, epsilon = (lm_real)1e-8;
  const lm_real rate = (lm_real)(learning_rate / (1 - integer_power(beta1, step)));
  const lm_real root = (lm_real)(1 / sqrt(1 - integer_power(beta2, step)));
  for (size_t g = 0; g < model->group_count; g++) {
    const lm_group *group = &model->groups[g];
    lm_real keep = (lm_real)(group->kind == LM_WEIGHT ? 1 - learning_rate * weight_decay : 1);
    for (size_t i = group->offset; i < group->offset + group->count; i++) {
      first[i] = b1 * first[i] + (1 - b1) * gradient[i];
      second[i] = b2 * second[i] + (1 - b2) * gradient[i] * gradient[i];
      parameters[i] = keep * parameters[i] - rate * first[i] / (sqrt(second[i]) * root + epsilon);
    }
  }
}
