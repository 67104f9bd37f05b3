/* Carries out a plan: what a peer has by itself, and what it gets from others. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pipeline.h"

/* Of the messages of one transfer. */
enum { NOTES, PARAMETERS, FIRST_MOMENT, SECOND_MOMENT, PROGRESS, MESSAGES };

/* Of one array of a part, or of its notes. */
static void *piece_of(pipeline *p, stage_state *state, lm_part_name part, int message,
                      size_t *bytes) {
  size_t offset = state->parts[part].offset;
  *bytes = state->parts[part].count * sizeof(lm_real);
  if (message == NOTES) *bytes = sizeof(part_notes);
  if (message == PROGRESS) *bytes = PROGRESS_WORDS * sizeof(uint64_t);
  if (message == NOTES) return &state->notes->parts[part];
  if (message == PROGRESS) return p->progress;
  if (message == PARAMETERS) return state->parameters + offset;
  return message == FIRST_MOMENT ? state->first_moment + offset : state->second_moment + offset;
}

/* A part's first `messages` pieces; empty ones, if this peer has not become what the plan made of
 * it.  Whoever takes them has gone, or takes them: no failure here matters to anybody else. */
static void give(pipeline *p, stage_state *state, int good, uint32_t taker, lm_part_name part,
                 int messages) {
  for (int i = 0; i < messages; i++) {
    size_t bytes;
    rhz_op *op = NULL;
    rhz_op_info info;
    const void *piece = piece_of(p, state, part, i, &bytes);
    rhz_status submitted =
        submit_send(p, taker, (uint64_t)(part * MESSAGES + i), piece, good ? bytes : 0, &op);
    if (kit_finish_op(submitted, op, RHZ_WAIT_FINAL, &info, p->error) != RHZ_OK) p->failed_ops++;
  }
}

/* A part's first `messages` pieces. */
static int take(pipeline *p, stage_state *state, uint32_t giver, lm_part_name part, int messages) {
  int good = 1;
  for (int i = 0; i < messages; i++) {
    size_t bytes;
    void *piece = piece_of(p, state, part, i, &bytes);
    good = receive(p, giver, (uint64_t)(part * MESSAGES + i), piece, bytes) && good;
  }
  return good;
}

void give_part(pipeline *p, stage_state *state, int good, uint32_t taker, lm_part_name part) {
  give(p, state, good, taker, part, PROGRESS);
}

int take_part(pipeline *p, stage_state *state, uint32_t giver, lm_part_name part) {
  return take(p, state, giver, part, PROGRESS);
}

/* Parameters of a stage beside this one. */
static int take_neighbour(pipeline *p, uint32_t giver, lm_real *parameters, part_notes *notes) {
  const uint64_t number = LM_LAYERS * MESSAGES;
  size_t bytes = p->state.parts[LM_LAYERS].count * sizeof(lm_real);
  int good = receive(p, giver, number + NOTES, notes, sizeof(*notes));
  return receive(p, giver, number + PARAMETERS, parameters, bytes) && good;
}

static int take_average(pipeline *p, stand_in s, uint32_t before, uint32_t after) {
  lm_real *incoming = p->state.gradient; /* of no use between two steps */
  lm_real *mine = p->state.parameters + p->state.parts[LM_LAYERS].offset;
  part_notes notes[2] = {{0, 0, 0}, {0, 0, 0}};
  double weights[2];
  int good = take_neighbour(p, before, mine, &notes[0]);
  if (!s.copy) good = take_neighbour(p, after, incoming, &notes[1]) && good;
  if (!good) return 0;
  if (p->options->substitute == SUBSTITUTE_RANDOM) {
    uint64_t seed = p->options->seed;
    lm_random(&seed);
    if (!stage_state_restart_layers(&p->state, p->options, p->stage, seed, notes[0].gradient_norm))
      return 0;
    kit_print_line("recovered stage=%" PRIu32 " source=random step=%" PRIu64 " t_us=%" PRIu64,
                   p->stage, p->progress[STEP], kit_now_us());
    return 1;
  }
  stage_state_average(&p->state, mine, notes[0], s.copy ? NULL : incoming, notes[1],
                      p->options->weighting, weights);
  if (s.copy) {
    kit_print_line("recovered stage=%" PRIu32 " source=copy step=%" PRIu64 " from=%" PRIu32
                   " rate_factor=%.2f t_us=%" PRIu64,
                   p->stage, p->progress[STEP], s.before,
                   p->state.notes->parts[LM_LAYERS].rate_factor, kit_now_us());
  } else {
    kit_print_line("recovered stage=%" PRIu32 " source=average step=%" PRIu64 " from=%" PRIu32
                   ",%" PRIu32 " weights=%.4g,%.4g rate_factor=%.2f t_us=%" PRIu64,
                   p->stage, p->progress[STEP], s.before, s.after, weights[0], weights[1],
                   p->state.notes->parts[LM_LAYERS].rate_factor, kit_now_us());
  }
  return 1;
}

/* Layers that nobody has, from the stages beside them: both sides of it. */
static int stand_in_once(pipeline *p, uint32_t taker) {
  uint32_t before_slots[MAX_SLOTS], after_slots[MAX_SLOTS];
  stand_in s = stand_in_for(p->options, taker / p->replicas);
  uint32_t before_count = holders_of(p, LM_LAYERS, s.before, before_slots);
  uint32_t after_count = holders_of(p, LM_LAYERS, s.after, after_slots);
  if (before_count == 0 || after_count == 0) return 0; /* it gets its own first */
  uint32_t before = before_slots[taker % before_count], after = after_slots[taker % after_count];
  if (p->view.slot == taker) return take_average(p, s, before, after);
  if (p->view.slot == before) give(p, &p->state, p->ready, taker, LM_LAYERS, PARAMETERS + 1);
  if (p->view.slot == after && !s.copy)
    give(p, &p->state, p->ready, taker, LM_LAYERS, PARAMETERS + 1);
  return 1;
}

/* One part of a taker: both sides of it.  0: this peer is the taker, and did not get it. */
static int transfer_part(pipeline *p, uint32_t taker, lm_part_name part) {
  uint32_t slots[MAX_SLOTS], stage = taker / p->replicas;
  uint32_t count = holders_of(p, part, stage, slots);
  if (count == 0) return part == LM_LAYERS && stand_in_once(p, taker);
  uint32_t giver = slots[taker % count];
  if (p->view.slot == giver) give(p, &p->state, p->ready, taker, part, MESSAGES);
  if (p->view.slot != taker) return 1;
  if (!take(p, &p->state, giver, part, MESSAGES)) return 0;
  if (part == LM_LAYERS) {
    kit_print_line("recovered stage=%" PRIu32 " source=replica step=%" PRIu64 " from_slot=%" PRIu32
                   " t_us=%" PRIu64,
                   stage, p->progress[STEP], giver, kit_now_us());
  }
  return 1;
}

/* From whoever follows the stage; the progress is that of the run. */
static int transfer_shadow(pipeline *p, uint32_t taker, uint32_t keeper) {
  int good = 1;
  for (int part = 0; part < LM_PARTS; part++) {
    if (!stage_holds(taker / p->replicas, p->stages, (lm_part_name)part)) continue;
    if (p->view.slot == keeper)
      give_part(p, &p->shadow.state, p->shadow.handle != NULL, taker, (lm_part_name)part);
    if (p->view.slot == taker) good = take_part(p, &p->state, keeper, (lm_part_name)part) && good;
  }
  if (p->view.slot == taker && good)
    kit_print_line("recovered stage=%" PRIu32 " source=shadow step=%" PRIu64 " from_slot=%" PRIu32
                   " t_us=%" PRIu64,
                   p->stage, p->progress[STEP], keeper, kit_now_us());
  return good;
}

static int transfer_parts(pipeline *p, uint32_t taker) {
  int good = 1;
  for (int part = 0; part < LM_PARTS; part++) {
    if (!stage_holds(taker / p->replicas, p->stages, (lm_part_name)part)) continue;
    good = transfer_part(p, taker, (lm_part_name)part) && good;
  }
  return good;
}

/* One who has to get its state from others: both sides of it. */
static void transfer(pipeline *p, uint32_t taker, const plan *made) {
  int is_mine = p->view.slot == taker, good = 1;
  if (is_mine) {
    p->attached = 0;
    p->ready = 0;
    good = rhz_state_replace(p->comm) == RHZ_OK;
  }
  if (made->from[taker] == SOURCE_SHADOW)
    good = transfer_shadow(p, taker, made->keeper[taker]) && good;
  else
    good = transfer_parts(p, taker) && good;
  if (!is_mine || !good) return;
  p->ready = commit(p) == RHZ_OK;
  if (p->ready) replace_snapshots(p);
}

/* What this peer can do alone. */
static void restore_own(pipeline *p, const plan *made) {
  source from = made->from[p->view.slot];
  uint64_t before = p->progress[STEP];
  int was_ready = p->ready;
  if (from != SOURCE_ATTACH && from != SOURCE_VAULT && from != SOURCE_SHARDS && from != SOURCE_DISK)
    return;
  if (p->checkpoint > made->revision) p->checkpoint = 0; /* of a past that is left */
  if (from == SOURCE_ATTACH) p->ready = restore_attached(p);
  if (from == SOURCE_VAULT) p->ready = restore_snapshot(p, made->revision);
  if (from == SOURCE_SHARDS) p->ready = restore_shards(p, made->revision);
  if (from == SOURCE_DISK) p->ready = load_checkpoint(p, made->revision);
  if (!p->ready) return;
  if (from == SOURCE_DISK || from == SOURCE_SHARDS) replace_snapshots(p);
  if (was_ready) {
    kit_print_line("went_back stage=%" PRIu32 " source=%s step=%" PRIu64 " from_step=%" PRIu64
                   " t_us=%" PRIu64,
                   p->stage, source_names[from], p->progress[STEP], before, kit_now_us());
  } else {
    kit_print_line("recovered stage=%" PRIu32 " source=%s step=%" PRIu64 " steps_lost=%" PRIu64
                   " t_us=%" PRIu64,
                   p->stage, source_names[from], p->progress[STEP], before - p->progress[STEP],
                   kit_now_us());
  }
}

/* All peers go through the same list in the same order, whatever fails: so nobody waits in a
 * circle, nor for somebody who has given up. */
void carry_out(pipeline *p, const plan *made) {
  if (made->revision < p->progress[STEP] + 1) {
    p->left_from = made->revision;
    p->left_to = p->progress[STEP] + 1;
  }
  restore_own(p, made);
  for (uint32_t slot = 0; slot < p->slots; slot++) {
    int takes = made->from[slot] == SOURCE_REPLICA || made->from[slot] == SOURCE_AVERAGE ||
                made->from[slot] == SOURCE_SHADOW;
    if (is_here(p, slot)) set_ready(p, slot, !takes);
  }
  for (uint32_t taker = 0; taker < p->slots; taker++)
    if (is_here(p, taker) && !is_ready(p, taker)) transfer(p, taker, made);
}
