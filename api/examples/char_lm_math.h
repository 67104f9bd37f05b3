/* The arithmetic that char_lm_model.c is made of: products, layers, norms, on plain arrays.  Each
 * runs in a fixed order of operations.
 *
 * Gradients d_x belong to what x is in the forward pass. */
#ifndef CHAR_LM_MATH_H
#define CHAR_LM_MATH_H

#include "char_lm_model.h"

/* A matrix inside some array: element (i, j) is data[i * row + j * column]. */
typedef struct lm_matrix {
  const lm_real *data;
  size_t row, column;
} lm_matrix;

static inline lm_matrix lm_as_is(const lm_real *data, size_t stride) {
  lm_matrix view = {data, stride, 1};
  return view;
}

static inline lm_matrix lm_transposed(const lm_real *data, size_t stride) {
  lm_matrix view = {data, 1, stride};
  return view;
}

void lm_set_zero(lm_real *data, size_t count);
void lm_add_to(lm_real *restrict sum, const lm_real *restrict term, size_t count);

/* c[rows][columns] += a[rows][depth] * b[depth][columns]; rows of c are c_row elements apart. */
void lm_add_product(lm_real *c, size_t c_row, lm_matrix a, lm_matrix b, size_t rows, size_t depth,
                    size_t columns);

/* bias NULL: none. */
void lm_linear_forward(lm_real *out, const lm_real *in, const lm_real *weight, const lm_real *bias,
                       size_t rows, size_t inputs, size_t outputs);
/* Overwrites d_in; adds to d_weight and d_bias (NULL: none). */
void lm_linear_backward(lm_real *d_in, lm_real *d_weight, lm_real *d_bias, const lm_real *d_out,
                        const lm_real *in, const lm_real *weight, size_t rows, size_t inputs,
                        size_t outputs);

/* A layer norm's output, and what its backward pass needs. */
typedef struct lm_norm {
  lm_real *unit;  /* [rows][width]: the input at mean 0 and variance 1 */
  lm_real *scale; /* [rows]: 1 / standard deviation of the input */
  lm_real *out;   /* [rows][width] */
} lm_norm;

void lm_norm_forward(lm_norm *n, const lm_real *in, const lm_real *gain, const lm_real *bias,
                     size_t rows, size_t width);
/* Adds to d_in, d_gain and d_bias. */
void lm_norm_backward(const lm_norm *n, lm_real *d_in, lm_real *d_gain, lm_real *d_bias,
                      const lm_real *d_out, const lm_real *gain, size_t rows, size_t width);

/* GELU; in_then_slope[count] becomes the slope, which is all that the backward pass needs. */
void lm_gelu_forward(lm_real *out, lm_real *in_then_slope, size_t count);

/* Turns logits[visible] into probabilities. */
void lm_softmax(lm_real *logits, size_t visible);

#endif /* CHAR_LM_MATH_H */
