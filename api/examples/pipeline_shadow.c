/* The shadow of the stage before this one: its state, to which this peer applies what that stage's
 * own optimizer applies.  Owner and keeper have the same number among the replicas of their stages;
 * the last stage's keeper is in the first one. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline.h"

enum { GRADIENT_MESSAGE = 1000 }; /* and up, by round; beyond those of a pass */

uint32_t owner_of(const pipeline *p, uint32_t keeper) {
  return (keeper + p->slots - p->replicas) % p->slots;
}

static uint32_t keeper_of(const pipeline *p, uint32_t owner) {
  return (owner + p->replicas) % p->slots;
}

int allocate_shadow(pipeline *p) {
  shadow *s = &p->shadow;
  if (!p->options->shadow) return 1;
  if (!stage_state_new(&s->state, p->options)) return 0;
  s->arrays = calloc(3 * s->state.count, sizeof(lm_real));
  s->state.notes = &s->notes;
  s->state.parameters = s->arrays;
  if (!s->arrays) return 0;
  s->state.first_moment = s->arrays + s->state.count;
  s->state.second_moment = s->state.first_moment + s->state.count;
  return 1;
}

void release_shadow(pipeline *p) {
  rhz_shadow_close(p->shadow.handle);
  stage_state_free(&p->shadow.state);
  free(p->shadow.arrays);
}

/* The update of the stage's own peers, on the gradient that they have. */
static int apply(uint64_t step, const void *gradient, uint64_t bytes, void *context) {
  pipeline *p = context;
  shadow *s = &p->shadow;
  if (gradient != s->state.gradient) memcpy(s->state.gradient, gradient, (size_t)bytes);
  stage_state_update(&s->state, p->options, step, counted(p));
  return 0;
}

/* What it holds is the owner's state of the run's revision. */
static int open_shadow(pipeline *p) {
  shadow *s = &p->shadow;
  rhz_shadow_params params = {.struct_size = sizeof(params)};
  const size_t count = s->state.count;
  const rhz_tensor tensors[] = {
      {sizeof(rhz_tensor), "notes", &s->notes, sizeof(s->notes), RHZ_DTYPE_U8, 0},
      {sizeof(rhz_tensor), "parameters", s->state.parameters, count, RHZ_DTYPE_F32, 0},
      {sizeof(rhz_tensor), "first_moment", s->state.first_moment, count, RHZ_DTYPE_F32, 0},
      {sizeof(rhz_tensor), "second_moment", s->state.second_moment, count, RHZ_DTYPE_F32, 0}};
  params.revision = p->progress[STEP] + 1;
  params.step = p->progress[STEP];
  params.rule = RHZ_RULE_CALLBACK;
  params.tensors = tensors;
  params.tensor_count = sizeof(tensors) / sizeof(tensors[0]);
  params.update = apply;
  params.context = p;
  rhz_shadow_close(s->handle);
  s->handle = NULL;
  if (rhz_shadow_create(&params, &s->handle) == RHZ_OK) return 1;
  note_error(p, RHZ_ERR_ARGUMENT, rhz_last_error());
  return 0;
}

int begin_shadow(pipeline *p, uint64_t seed) {
  uint32_t stage = owner_of(p, p->view.slot) / p->replicas;
  if (!p->options->shadow) return 1;
  rhz_shadow_close(p->shadow.handle);
  p->shadow.handle = NULL;
  if (!stage_state_start(&p->shadow.state, p->options, stage, seed)) return 0;
  return !p->ready || open_shadow(p); /* a joiner's comes from the owner */
}

uint64_t shadow_revision(const pipeline *p) {
  rhz_shadow_info info = {.struct_size = sizeof(info)};
  if (!p->shadow.handle || rhz_shadow_info_get(p->shadow.handle, &info) != RHZ_OK) return 0;
  return info.revision;
}

/* Whoever has no shadow, or one of another revision, gets a copy of the owner's state: both sides.
 */
void refresh_shadows(pipeline *p) {
  for (uint32_t keeper = 0; keeper < p->slots; keeper++) {
    uint32_t owner = owner_of(p, keeper);
    int good = 1;
    if (!lacks_shadow(p, keeper)) continue;
    for (int part = 0; part < LM_PARTS; part++) {
      if (!stage_holds(owner / p->replicas, p->stages, (lm_part_name)part)) continue;
      if (p->view.slot == owner) give_part(p, &p->state, p->ready, keeper, (lm_part_name)part);
      if (p->view.slot == keeper)
        good = take_part(p, &p->shadow.state, owner, (lm_part_name)part) && good;
    }
    if (p->view.slot == keeper && good) open_shadow(p);
  }
}

/* Before the vote: so that a step which is made is made by the shadows too.  0: it was lost. */
int exchange_gradients(pipeline *p, int complete, uint32_t round) {
  uint32_t keeper = keeper_of(p, p->view.slot), owner = owner_of(p, p->view.slot);
  size_t bytes = p->state.count * sizeof(lm_real);
  uint64_t number = GRADIENT_MESSAGE + round;
  rhz_op *op = NULL;
  rhz_op_info info;
  rhz_status submitted = RHZ_OK;
  int good = 1;
  if (!p->options->shadow) return 1;
  if (is_here(p, keeper))
    submitted = submit_send(p, keeper, number, p->state.gradient, complete ? bytes : 0, &op);
  if (is_here(p, owner)) good = receive(p, owner, number, p->shadow.state.gradient, bytes);
  if (is_here(p, keeper))
    good = finish_op(p, submitted, op, RHZ_WAIT_DEFAULT, &info) == RHZ_OK && good;
  return good;
}

void update_shadow(pipeline *p, uint64_t step) {
  shadow *s = &p->shadow;
  if (!s->handle || !is_here(p, owner_of(p, p->view.slot))) return;
  rhz_status status =
      rhz_shadow_apply(s->handle, step, s->state.gradient, s->state.count * sizeof(lm_real));
  if (status == RHZ_OK) return;
  kit_print_line("no_shadow step=%" PRIu64 " status=%" PRId32 " error=\"%s\"", step, status,
                 rhz_last_error());
  rhz_shadow_close(s->handle); /* the next trip makes it anew */
  s->handle = NULL;
}
