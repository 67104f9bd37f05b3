#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline.h"

enum { WARMUP_STEPS = 20 };
static const double max_gradient_norm = 1.0;

int stage_holds(uint32_t stage, uint32_t stages, lm_part_name part) {
  if (part == LM_EMBEDDING) return stage <= 1;
  return part == LM_HEAD ? stage + 2 >= stages : 1;
}

lm_config stage_config(const options *o, uint64_t stages) {
  lm_config config = {(uint32_t)o->batch, (uint32_t)o->context, (uint32_t)o->width, HEADS,
                      (uint32_t)(o->layers * stages)};
  return config;
}

/* Every part is cut from the whole model, so that the number of stages does not change the start.
 */
static int initialize(stage_state *state, const options *o, uint32_t stage, uint64_t seed) {
  lm_config config = stage_config(o, o->stages);
  lm_model *whole = lm_model_new(&config);
  lm_real *all = whole ? calloc(lm_parameter_count(whole), sizeof(*all)) : NULL;
  if (all) {
    const lm_part *layers = &state->parts[LM_LAYERS];
    lm_initialize(whole, seed, all);
    memcpy(state->parameters, all, layers->offset * sizeof(*all));
    memcpy(state->parameters + layers->offset, all + layers->offset + stage * layers->count,
           layers->count * sizeof(*all));
  }
  int good = all != NULL;
  free(all);
  lm_model_free(whole);
  return good;
}

int stage_state_new(stage_state *state, const options *o) {
  lm_config config = stage_config(o, 1);
  memset(state, 0, sizeof(*state));
  state->model = lm_model_new(&config);
  if (!state->model) return 0;
  state->count = lm_parameter_count(state->model);
  for (int part = 0; part < LM_PARTS; part++)
    state->parts[part] = lm_part_at(state->model, (lm_part_name)part);
  state->gradient = calloc(state->count, sizeof(lm_real));
  return state->gradient != NULL;
}

void stage_state_take(stage_state *state, const options *o, uint32_t stage) {
  for (int part = 0; part < LM_PARTS; part++)
    state->holds[part] = stage_holds(stage, (uint32_t)o->stages, (lm_part_name)part);
}

int stage_state_start(stage_state *state, const options *o, uint32_t stage, uint64_t seed) {
  stage_state_take(state, o, stage);
  state->notes->stage = stage;
  for (int part = 0; part < LM_PARTS; part++) state->notes->parts[part] = (part_notes){0, 1, 0};
  memset(state->first_moment, 0, state->count * sizeof(lm_real));
  memset(state->second_moment, 0, state->count * sizeof(lm_real));
  return initialize(state, o, stage, seed);
}

void stage_state_free(stage_state *state) {
  lm_model_free(state->model);
  free(state->gradient);
  memset(state, 0, sizeof(*state));
}

/* Each part is clipped by itself: so a stage needs nobody's norm but its own. */
void stage_state_update(stage_state *state, const options *o, uint64_t step,
                        uint64_t micro_batches) {
  double warmth = step < WARMUP_STEPS ? (double)step / WARMUP_STEPS : 1.0;
  lm_real share = 1 / (lm_real)micro_batches;
  for (int part = 0; part < LM_PARTS; part++) {
    const lm_part range = state->parts[part];
    part_notes *notes = &state->notes->parts[part];
    lm_real *gradient = state->gradient + range.offset;
    if (!state->holds[part]) continue;
    for (size_t i = 0; i < range.count; i++) gradient[i] *= share;
    notes->gradient_norm = lm_clip(gradient, range.count, max_gradient_norm);
    notes->steps++;
    lm_adamw_part(state->model, range, state->parameters, state->gradient, state->first_moment,
                  state->second_moment, notes->steps,
                  warmth * notes->rate_factor * o->learning_rate);
  }
}

int stage_state_restart_layers(stage_state *state, const options *o, uint32_t stage, uint64_t seed,
                               double norm) {
  const lm_part range = state->parts[LM_LAYERS];
  lm_real *mine = state->parameters;
  state->parameters = state->gradient; /* of no use between two steps */
  int good = initialize(state, o, stage, seed);
  state->parameters = mine;
  memcpy(mine + range.offset, state->gradient + range.offset, range.count * sizeof(lm_real));
  memset(state->first_moment + range.offset, 0, range.count * sizeof(lm_real));
  memset(state->second_moment + range.offset, 0, range.count * sizeof(lm_real));
  state->notes->parts[LM_LAYERS] = (part_notes){0, 1, norm};
  return good;
}

static rhz_tensor layers_at(const lm_real *values, size_t count) {
  rhz_tensor tensor = {.struct_size = sizeof(tensor), .name = "layers", .dtype = RHZ_DTYPE_F32};
  tensor.data = (void *)values;
  tensor.count_elems = count;
  return tensor;
}

/* A norm that is not finite says nothing of its stage: even weights then. */
static rhz_average_info average(rhz_average_params *params) {
  rhz_average_info info = {.struct_size = sizeof(info)};
  if (rhz_average_stage(params, &info) == RHZ_OK) return info;
  params->weighting = RHZ_WEIGHTING_MEAN;
  if (rhz_average_stage(params, &info) != RHZ_OK) abort(); /* three arrays of one length */
  return info;
}

void stage_state_average(stage_state *state, const lm_real *before, part_notes before_notes,
                         const lm_real *after, part_notes after_notes, weighting by,
                         double weights[2]) {
  const lm_part range = state->parts[LM_LAYERS];
  lm_real *mine = state->parameters + range.offset;
  rhz_tensor front = layers_at(before, range.count), back = layers_at(after, range.count),
             lost = layers_at(mine, range.count);
  rhz_average_params params = {.struct_size = sizeof(params), .tensor_count = 1};
  params.before = &front;
  params.after = after ? &back : NULL;
  params.lost = &lost;
  params.weighting = by == WEIGHTING_MEAN           ? RHZ_WEIGHTING_MEAN
                     : by == WEIGHTING_CLIPPED_NORM ? RHZ_WEIGHTING_CLIPPED_NORM
                                                    : RHZ_WEIGHTING_NORM;
  params.norm_before = before_notes.gradient_norm;
  params.norm_after = after_notes.gradient_norm;
  params.clip_norm = max_gradient_norm;
  const rhz_average_info info = average(&params);
  const double recovered_rate_factor = info.learning_rate_factor;
  weights[0] = info.weight_before;
  weights[1] = info.weight_after;
  memset(state->first_moment + range.offset, 0, range.count * sizeof(lm_real));
  memset(state->second_moment + range.offset, 0, range.count * sizeof(lm_real));
  /* Its own norm is not known before its next step; the stage may be asked for it sooner. */
  double norm = before_notes.gradient_norm;
  if (after) norm = (norm + after_notes.gradient_norm) / 2;
  state->notes->parts[LM_LAYERS] = (part_notes){0, recovered_rate_factor, norm};
}
