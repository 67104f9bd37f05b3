/* Who is here and has what; and what follows from it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pipeline.h"

enum { IS_HERE = 1, IS_READY = 2, IS_GROUPED = 4, IS_KEPT = 8, IS_SHADOWING = 16, TRIP_SHIFT = 8 };

int is_here(const pipeline *p, uint32_t slot) { return (p->roll.words[slot] & IS_HERE) != 0; }
int is_ready(const pipeline *p, uint32_t slot) { return (p->roll.words[slot] & IS_READY) != 0; }

/* Who speaks for all. */
static int is_first_ready(const pipeline *p) {
  uint32_t slot = 0;
  while (slot < p->slots && !is_ready(p, slot)) slot++;
  return slot == p->view.slot;
}

int lacks_groups(const pipeline *p) {
  int lacks = 0;
  for (uint32_t slot = 0; slot < p->slots; slot++)
    lacks = lacks || (is_here(p, slot) && !(p->roll.words[slot] & IS_GROUPED));
  return lacks;
}

int lacks_shadow(const pipeline *p, uint32_t keeper) {
  return is_here(p, keeper) && is_here(p, owner_of(p, keeper)) &&
         !(p->roll.words[keeper] & IS_SHADOWING);
}

int lacks_shadows(const pipeline *p) {
  int lacks = 0;
  for (uint32_t slot = 0; slot < p->slots; slot++) lacks = lacks || lacks_shadow(p, slot);
  return lacks && p->options->shadow;
}

void set_ready(pipeline *p, uint32_t slot, int ready) {
  p->roll.words[slot] &= ~(uint64_t)IS_READY;
  if (ready) p->roll.words[slot] |= IS_READY;
}

void strike_off(pipeline *p, uint32_t slot) { p->roll.words[slot] = 0; }

uint32_t holders_of(const pipeline *p, lm_part_name part, uint32_t stage,
                    uint32_t slots[MAX_SLOTS]) {
  uint32_t count = 0;
  for (uint32_t slot = 0; slot < p->slots; slot++) {
    uint32_t its_stage = slot / p->replicas;
    int holds = part == LM_LAYERS ? its_stage == stage : stage_holds(its_stage, p->stages, part);
    if (holds && is_ready(p, slot)) slots[count++] = slot;
  }
  return count;
}

/* What must be the same on all peers, in one number. */
static uint64_t settings_of(const pipeline *p) {
  const options *o = p->options;
  const uint64_t all[] = {o->stages,
                          o->replicas,
                          o->layers,
                          o->width,
                          o->micro_batches,
                          o->steps,
                          o->batch,
                          o->context,
                          o->seed,
                          (uint64_t)o->order,
                          (uint64_t)o->policy,
                          (uint64_t)o->weighting,
                          o->snapshot_every,
                          o->checkpoint_every,
                          o->shadow,
                          o->protect_every,
                          o->sources,
                          (uint64_t)o->substitute,
                          kit_bits_of(o->learning_rate),
                          p->text->size};
  uint64_t mixed = 0;
  for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
    mixed ^= all[i];
    mixed = lm_random(&mixed);
  }
  return mixed;
}

/* The first one who is ready is right: who differs has to go, and the others go on without it. */
static rhz_status check_settings(pipeline *p) {
  uint32_t right = 0;
  while (right < p->slots && !is_ready(p, right)) right++;
  if (right == p->slots || p->roll.settings[right] == settings_of(p)) return RHZ_OK;
  snprintf(p->error, sizeof(p->error),
           "slot %" PRIu32 " was started with other options, or with another text", right);
  return RHZ_ERR_ARGUMENT;
}

rhz_status call_roll(pipeline *p) {
  rhz_op *op = NULL;
  rhz_op_info info;
  rhz_allreduce_params params = sum_of(&p->roll, sizeof(p->roll) / sizeof(uint64_t), RHZ_DTYPE_U64);
  kit_refresh_view(p->comm, &p->view);
  memset(&p->roll, 0, sizeof(p->roll));
  p->roll.settings[p->view.slot] = settings_of(p);
  p->roll.words[p->view.slot] = IS_HERE | (p->ready ? IS_READY : 0u) |
                                (p->grouped ? IS_GROUPED : 0u) | (is_kept(p) ? IS_KEPT : 0u) |
                                (shadow_revision(p) == p->progress[STEP] + 1 ? IS_SHADOWING : 0u) |
                                p->trip << TRIP_SHIFT;
  rhz_status submitted = rhz_allreduce(p->comm, &params, &op);
  rhz_status status = finish_op(p, submitted, op, RHZ_WAIT_DEFAULT, &info);
  if (status != RHZ_OK) return status;
  for (uint32_t slot = 0; slot < p->slots; slot++) {
    uint64_t trip = p->roll.words[slot] >> TRIP_SHIFT;
    p->trip = trip > p->trip ? trip : p->trip;
  }
  p->trip++;
  return check_settings(p);
}

void close_groups(pipeline *p) {
  for (int part = 0; part < LM_PARTS; part++) {
    rhz_comm_close(p->groups[part]);
    p->groups[part] = NULL;
  }
  p->grouped = 0;
}

rhz_status make_groups(pipeline *p) {
  close_groups(p);
  for (int part = 0; part < LM_PARTS; part++) {
    rhz_split_params params = {.struct_size = sizeof(params)};
    params.colour = part == LM_LAYERS ? (int32_t)p->stage : 0;
    if (!stage_holds(p->stage, p->stages, (lm_part_name)part)) params.colour = RHZ_SPLIT_NONE;
    params.key = (int32_t)p->view.slot;
    rhz_status status = rhz_comm_split(p->comm, &params, &p->groups[part]);
    if (status != RHZ_OK) {
      note_error(p, status, rhz_last_error());
      close_groups(p);
      return status;
    }
  }
  p->grouped = 1;
  return RHZ_OK;
}

rhz_status transfer_state(pipeline *p) {
  facts f;
  plan made;
  rhz_op *op = NULL;
  rhz_op_info info;
  uint64_t snapshots[2];
  rhz_allreduce_params params = sum_of(&f, sizeof(f) / sizeof(uint64_t), RHZ_DTYPE_U64);
  end_snapshot(p); /* whatever comes next may change the tensors */
  end_checkpoint_copy(p);
  list_snapshots(p, snapshots);
  memset(&f, 0, sizeof(f));
  f.live[p->view.slot] = p->ready ? p->progress[STEP] + 1 : 0;
  f.attached[p->view.slot] = p->attached;
  f.snapshots[0][p->view.slot] = snapshots[0];
  f.snapshots[1][p->view.slot] = snapshots[1];
  for (uint32_t stage = 0; stage < p->stages && is_first_ready(p); stage++)
    list_shards(p, stage, f.shards);
  f.shadows[p->view.slot] = shadow_revision(p);
  f.checkpoints[p->view.slot] = may_use(p, SOURCE_DISK) ? complete_checkpoint(p) : 0;
  f.unreadable[p->view.slot] = p->unreadable;
  rhz_status submitted = rhz_allreduce(p->comm, &params, &op);
  rhz_status status = finish_op(p, submitted, op, RHZ_WAIT_DEFAULT, &info);
  if (status == RHZ_OK) status = make_plan(p, &f, &made);
  if (status == RHZ_OK) carry_out(p, &made);
  return status;
}

rhz_status check_stages(pipeline *p, int *all_here) {
  int lost[MAX_STAGES] = {0}, may_come_back = 0;
  rhz_status status = RHZ_OK;
  uint32_t slots[MAX_SLOTS];
  *all_here = 1;
  for (uint32_t stage = 0; stage < p->stages; stage++) {
    int here = 0;
    for (uint32_t i = 0; i < p->replicas; i++) {
      uint64_t word = p->roll.words[stage * p->replicas + i];
      here = here || (word & IS_HERE);
      may_come_back = may_come_back || (word & IS_KEPT);
    }
    lost[stage] = holders_of(p, LM_LAYERS, stage, slots) == 0;
    *all_here = *all_here && here;
  }
  for (uint32_t stage = 0; stage < p->stages && status == RHZ_OK && !may_come_back; stage++)
    if (lost[stage]) status = may_stand_in(p, stage, lost);
  return status;
}
