/* Checks the example model's hand-written backward pass and its optimizer.  Built with
 * -DCHAR_LM_REAL=double, so that the bounds below test the formulas and not float's rounding. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/examples/char_lm_model.h"

enum { BATCH = 2, CONTEXT = 5, ROWS = BATCH * CONTEXT, MAX_ROWS = 131 };

/* Two heads and two layers: the smallest model in which heads, layers and sequences can mix up. */
static const lm_config tiny = {BATCH, CONTEXT, 8, 2, 2};
/* Wider and deeper than one panel of the matrix product (context), and no multiple of four. */
static const lm_config odd = {1, MAX_ROWS, 10, 2, 1};

/* Fails to compile where the model is built with another type. */
typedef char model_is_built_with_double[sizeof(lm_real) == sizeof(double) ? 1 : -1];

static int failures;

static void check(int holds, const char *sentence) {
  printf("%s: %s\n", holds ? "ok" : "FAILED", sentence);
  if (!holds) failures++;
}

static lm_real *new_array(size_t count) {
  lm_real *array = calloc(count, sizeof(*array));
  if (!array) {
    fprintf(stderr, "out of memory\n");
    exit(1);
  }
  return array;
}

static lm_model *new_model(const lm_config *config) {
  lm_model *model = lm_model_new(config);
  if (!model) {
    fprintf(stderr, "lm_model_new failed\n");
    exit(1);
  }
  return model;
}

static void fill_bytes(uint8_t *bytes, size_t count, uint64_t seed) {
  for (size_t i = 0; i < count; i++) bytes[i] = (uint8_t)lm_random(&seed);
}

/* Uniform in ±0.5, gains around 1: the usual start is too close to 0 to exercise every term. */
static void spread_parameters(const lm_model *model, lm_real *parameters) {
  uint64_t seed = 11;
  for (size_t g = 0; g < lm_group_count(model); g++) {
    lm_group group = lm_group_at(model, g);
    for (size_t i = group.offset; i < group.offset + group.count; i++) {
      lm_real uniform = (lm_real)(lm_random(&seed) >> 11) / (lm_real)9007199254740992.0;
      parameters[i] = uniform - (lm_real)0.5 + (group.kind == LM_GAIN ? 1 : 0);
    }
  }
}

/* |numeric - analytic| / |analytic| as L2 norms over every stride-th element of the group. */
static double relative_error(lm_model *model, lm_real *parameters, const uint8_t *bytes,
                             const uint8_t *targets, const lm_real *gradient, lm_group group,
                             size_t stride) {
  const lm_real epsilon = (lm_real)1e-5;
  double error = 0, size = 0;
  for (size_t i = group.offset; i < group.offset + group.count; i += stride) {
    lm_real saved = parameters[i];
    parameters[i] = saved + epsilon;
    double above = (double)lm_loss(model, parameters, bytes, targets, NULL);
    parameters[i] = saved - epsilon;
    double below = (double)lm_loss(model, parameters, bytes, targets, NULL);
    parameters[i] = saved;
    double numeric = (above - below) / (2 * (double)epsilon), analytic = (double)gradient[i];
    error += (numeric - analytic) * (numeric - analytic);
    size += analytic * analytic;
  }
  return size > 0 ? sqrt(error / size) : 1.0;
}

static void check_gradients(const char *which, const lm_config *config, size_t stride) {
  lm_model *model = new_model(config);
  size_t count = lm_parameter_count(model), rows = (size_t)config->batch * config->context;
  lm_real *parameters = new_array(count), *gradient = new_array(count);
  uint8_t bytes[MAX_ROWS], targets[MAX_ROWS];
  fill_bytes(bytes, rows, 21);
  fill_bytes(targets, rows, 22);
  spread_parameters(model, parameters);
  lm_loss(model, parameters, bytes, targets, gradient);
  for (size_t g = 0; g < lm_group_count(model); g++) {
    lm_group group = lm_group_at(model, g);
    double error = relative_error(model, parameters, bytes, targets, gradient, group, stride);
    char sentence[160], place[32] = "";
    if (group.layer >= 0) snprintf(place, sizeof(place), " of layer %d", group.layer);
    snprintf(sentence, sizeof(sentence),
             "%s model: the gradient of %s%s equals central differences (relative error %.1e)",
             which, group.name, place, error);
    check(error < 1e-6, sentence);
  }
  free(parameters);
  free(gradient);
  lm_model_free(model);
}

/* Trains on one fixed batch; returns the last loss. */
static double train(lm_real *parameters, uint64_t seed, uint64_t steps) {
  lm_model *model = new_model(&tiny);
  size_t count = lm_parameter_count(model);
  lm_real *gradient = new_array(count), *first = new_array(count), *second = new_array(count);
  uint8_t bytes[ROWS], targets[ROWS];
  fill_bytes(bytes, ROWS, 31);
  fill_bytes(targets, ROWS, 32);
  lm_initialize(model, seed, parameters);
  for (uint64_t step = 1; step <= steps; step++) {
    lm_loss(model, parameters, bytes, targets, gradient);
    lm_clip(gradient, count, 1.0);
    lm_adamw(model, parameters, gradient, first, second, step, 1e-2);
  }
  double loss = (double)lm_loss(model, parameters, bytes, targets, NULL);
  free(gradient);
  free(first);
  free(second);
  lm_model_free(model);
  return loss;
}

static void check_training(size_t count) {
  lm_real *one = new_array(count), *same = new_array(count), *other = new_array(count);
  double before = train(one, 1, 0), after = train(one, 1, 60);
  printf("    loss on a fixed batch: %.4f before, %.4f after 60 steps\n", before, after);
  check(fabs(before - log(256.0)) < 0.1, "an untrained model is as good as guessing");
  check(after < 0.2 * before, "AdamW lowers the loss on a fixed batch to less than a fifth");
  train(same, 1, 60);
  train(other, 2, 60);
  check(memcmp(one, same, count * sizeof(*one)) == 0,
        "two runs with the same seed end with bit-identical parameters");
  check(memcmp(one, other, count * sizeof(*one)) != 0, "another seed ends with other parameters");
  free(one);
  free(same);
  free(other);
}

/* Groups are what initialization and weight decay go by: one that is missed stays silent. */
static void check_groups(const lm_model *model) {
  size_t next = 0;
  int gapless = 1;
  for (size_t g = 0; g < lm_group_count(model); g++) {
    lm_group group = lm_group_at(model, g);
    gapless = gapless && group.offset == next && group.count > 0;
    next = group.offset + group.count;
  }
  check(gapless && next == lm_parameter_count(model), "the groups cover every parameter once");
}

static void check_causality(lm_model *model) {
  size_t count = lm_parameter_count(model);
  lm_real *parameters = new_array(count), *gradient = new_array(count);
  uint8_t bytes[ROWS], targets[ROWS];
  fill_bytes(bytes, ROWS, 41);
  fill_bytes(targets, ROWS, 42);
  spread_parameters(model, parameters);
  /* Two sets of targets that differ in row 0 only: the difference of their losses is a function of
   * row 0's output alone. */
  uint8_t changed[ROWS];
  memcpy(changed, targets, ROWS);
  changed[0] ^= 1;
  double difference = (double)lm_loss(model, parameters, bytes, targets, gradient) -
                      (double)lm_loss(model, parameters, bytes, changed, gradient);
  bytes[CONTEXT - 1] ^= 1;
  double again = (double)lm_loss(model, parameters, bytes, targets, gradient) -
                 (double)lm_loss(model, parameters, bytes, changed, gradient);
  check(fabs(difference - again) < 1e-12, "a byte does not see the bytes after it");
  free(parameters);
  free(gradient);
}

static void check_clipping(void) {
  lm_real long_one[2] = {3, 4}, short_one[2] = {(lm_real)0.3, (lm_real)0.4};
  lm_clip(long_one, 2, 1.0);
  lm_clip(short_one, 2, 1.0);
  check(fabs((double)long_one[0] - 0.6) < 1e-6 && fabs((double)long_one[1] - 0.8) < 1e-6,
        "clipping scales a long gradient to the norm asked for");
  check(short_one[0] == (lm_real)0.3 && short_one[1] == (lm_real)0.4,
        "clipping leaves a short gradient alone");
}

/* After one step both moments, corrected for their start at zero, are the gradient and its square:
 * every parameter moves by the learning rate, whatever the gradient's size. */
static void check_first_step(lm_model *model) {
  size_t count = lm_parameter_count(model);
  lm_real *parameters = new_array(count), *gradient = new_array(count);
  lm_real *first = new_array(count), *second = new_array(count);
  const double rate = 0.1, decay = 0.01;
  double worst = 0;
  for (size_t i = 0; i < count; i++) {
    parameters[i] = 2;
    gradient[i] = i % 2 ? (lm_real)0.25 : -3;
  }
  lm_adamw(model, parameters, gradient, first, second, 1, rate);
  for (size_t g = 0; g < lm_group_count(model); g++) {
    lm_group group = lm_group_at(model, g);
    double kept = group.kind == LM_WEIGHT ? 2 * (1 - rate * decay) : 2;
    for (size_t i = group.offset; i < group.offset + group.count; i++) {
      double expected = kept - (i % 2 ? rate : -rate);
      worst = fmax(worst, fabs((double)parameters[i] - expected));
    }
  }
  check(worst < 1e-6, "AdamW's first step moves by the learning rate, and only weights decay");
  free(parameters);
  free(gradient);
  free(first);
  free(second);
}

/* Two stages of one layer each, that pass the stream on by hand, as a pipeline's do by messages. */
static void check_pieces(void) {
  lm_config half = tiny;
  half.layers = 1;
  lm_model *whole = new_model(&tiny), *stage[2] = {new_model(&half), new_model(&half)};
  size_t count = lm_parameter_count(whole), stage_count = lm_parameter_count(stage[0]);
  lm_part layers = lm_part_at(stage[0], LM_LAYERS);
  lm_real *parameters = new_array(count), *gradient = new_array(count),
          *together = new_array(count);
  lm_real *own[2] = {new_array(stage_count), new_array(stage_count)};
  lm_real *slope[2] = {new_array(stage_count), new_array(stage_count)};
  uint8_t bytes[ROWS], targets[ROWS];
  fill_bytes(bytes, ROWS, 51);
  fill_bytes(targets, ROWS, 52);
  spread_parameters(whole, parameters);
  for (size_t s = 0; s < 2; s++) {
    memcpy(own[s], parameters, layers.offset * sizeof(lm_real));
    memcpy(own[s] + layers.offset, parameters + layers.offset + s * layers.count,
           layers.count * sizeof(lm_real));
  }
  lm_real loss = lm_loss(whole, parameters, bytes, targets, gradient);

  const size_t stream_bytes = (size_t)ROWS * tiny.width * sizeof(lm_real);
  lm_embed(stage[0], own[0], bytes);
  lm_layers_forward(stage[0], own[0]);
  memcpy(lm_stream(stage[1]), lm_stream(stage[0]), stream_bytes);
  lm_layers_forward(stage[1], own[1]);
  lm_real piecewise = lm_head_forward(stage[1], own[1], targets);
  lm_head_backward(stage[1], own[1], slope[1]);
  lm_layers_backward(stage[1], own[1], slope[1]);
  memcpy(lm_stream(stage[0]), lm_stream(stage[1]), stream_bytes);
  lm_layers_backward(stage[0], own[0], slope[0]);
  lm_embed_backward(stage[0], bytes, slope[0]);
  lm_part embedding = lm_part_at(whole, LM_EMBEDDING), head = lm_part_at(whole, LM_HEAD);
  memcpy(together + embedding.offset, slope[0] + embedding.offset,
         embedding.count * sizeof(lm_real));
  memcpy(together + head.offset, slope[1] + head.offset, head.count * sizeof(lm_real));
  for (size_t s = 0; s < 2; s++)
    memcpy(together + layers.offset + s * layers.count, slope[s] + layers.offset,
           layers.count * sizeof(lm_real));
  check(piecewise == loss && memcmp(together, gradient, count * sizeof(lm_real)) == 0,
        "a model cut into stages has the loss and the gradient of the whole, bit for bit");
  for (size_t s = 0; s < 2; s++) {
    lm_model_free(stage[s]);
    free(own[s]);
    free(slope[s]);
  }
  lm_model_free(whole);
  free(parameters);
  free(gradient);
  free(together);
}

int main(void) {
  lm_model *model = new_model(&tiny);
  size_t count = lm_parameter_count(model);
  check_groups(model);
  check_causality(model);
  check_first_step(model);
  lm_model_free(model);
  check_gradients("tiny", &tiny, 3);
  check_gradients("odd", &odd, 37); /* strides without a factor in common with the widths */
  check_pieces();
  check_clipping();
  check_training(count);
  printf("%s\n", failures ? "FAILED" : "all checks passed");
  return failures ? 1 : 0;
}
