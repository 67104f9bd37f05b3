#include "char_lm_math.h"

#include <string.h>
#include <tgmath.h> /* sqrt, exp, … in the precision of lm_real */

/* ------------------------------------------------------------------------------------ matrices */

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
static size_t pack_panel(lm_real *panel, lm_matrix b, size_t depth, size_t columns) {
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
static void add_panel_product(lm_real *c, size_t c_row, lm_matrix a, const lm_real *panel,
                              size_t rows, size_t depth, size_t padded, size_t columns) {
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

void lm_add_product(lm_real *c, size_t c_row, lm_matrix a, lm_matrix b, size_t rows, size_t depth,
                    size_t columns) {
  lm_real panel[PANEL_DEPTH * PANEL_COLUMNS];
  for (size_t j = 0; j < columns; j += PANEL_COLUMNS) {
    size_t some_columns = columns - j < PANEL_COLUMNS ? columns - j : PANEL_COLUMNS;
    for (size_t p = 0; p < depth; p += PANEL_DEPTH) {
      size_t some_depth = depth - p < PANEL_DEPTH ? depth - p : PANEL_DEPTH;
      lm_matrix b_block = {b.data + p * b.row + j * b.column, b.row, b.column};
      lm_matrix a_block = {a.data + p * a.column, a.row, a.column};
      size_t padded = pack_panel(panel, b_block, some_depth, some_columns);
      add_panel_product(c + j, c_row, a_block, panel, rows, some_depth, padded, some_columns);
    }
  }
}

void lm_set_zero(lm_real *data, size_t count) { memset(data, 0, count * sizeof(*data)); }

void lm_add_to(lm_real *restrict sum, const lm_real *restrict term, size_t count) {
  for (size_t i = 0; i < count; i++) sum[i] += term[i];
}

/* ------------------------------------------------------------------------------------ parts */

void lm_linear_forward(lm_real *out, const lm_real *in, const lm_real *weight, const lm_real *bias,
                       size_t rows, size_t inputs, size_t outputs) {
  for (size_t r = 0; r < rows; r++) {
    if (bias)
      memcpy(out + r * outputs, bias, outputs * sizeof(*out));
    else
      lm_set_zero(out + r * outputs, outputs);
  }
  lm_add_product(out, outputs, lm_as_is(in, inputs), lm_as_is(weight, outputs), rows, inputs,
                 outputs);
}

void lm_linear_backward(lm_real *d_in, lm_real *d_weight, lm_real *d_bias, const lm_real *d_out,
                        const lm_real *in, const lm_real *weight, size_t rows, size_t inputs,
                        size_t outputs) {
  lm_add_product(d_weight, outputs, lm_transposed(in, inputs), lm_as_is(d_out, outputs), inputs,
                 rows, outputs);
  lm_set_zero(d_in, rows * inputs);
  lm_add_product(d_in, inputs, lm_as_is(d_out, outputs), lm_transposed(weight, outputs), rows,
                 outputs, inputs);
  for (size_t r = 0; d_bias && r < rows; r++) lm_add_to(d_bias, d_out + r * outputs, outputs);
}

void lm_norm_forward(lm_norm *n, const lm_real *in, const lm_real *gain, const lm_real *bias,
                     size_t rows, size_t width) {
  for (size_t r = 0; r < rows; r++, in += width) {
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
void lm_norm_backward(const lm_norm *n, lm_real *d_in, lm_real *d_gain, lm_real *d_bias,
                      const lm_real *d_out, const lm_real *gain, size_t rows, size_t width) {
  for (size_t r = 0; r < rows; r++, d_in += width, d_out += width) {
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
void lm_gelu_forward(lm_real *out, lm_real *in_then_slope, size_t count) {
  const lm_real root = (lm_real)0.7978845608028654, cubic = (lm_real)0.044715; /* root: √(2/π) */
  const lm_real half = (lm_real)0.5;
  for (size_t i = 0; i < count; i++) {
    lm_real x = in_then_slope[i];
    lm_real t = tanh(root * (x + cubic * x * x * x));
    out[i] = half * x * (1 + t);
    in_then_slope[i] = half * (1 + t) + half * x * (1 - t * t) * root * (1 + 3 * cubic * x * x);
  }
}

void lm_softmax(lm_real *logits, size_t visible) {
  lm_real highest = logits[0], sum = 0;
  for (size_t i = 1; i < visible; i++) highest = logits[i] > highest ? logits[i] : highest;
  for (size_t i = 0; i < visible; i++) sum += logits[i] = exp(logits[i] - highest);
  lm_real inverse = 1 / sum;
  for (size_t i = 0; i < visible; i++) logits[i] *= inverse;
}
