#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pipeline.h"

/* Between two steps.  A peer that cannot load, or dies meanwhile, takes another one each time. */
enum { MAX_TRANSFERS = 100 };

/* Where joiners come in.  The registered state does not change while this is open. */
static rhz_status pass_boundary(pipeline *p) {
  rhz_op *op = NULL;
  rhz_op_info info;
  rhz_status submitted = rhz_admit(p->comm, &op);
  return finish_op(p, submitted, op, RHZ_WAIT_DEFAULT, &info);
}

/* step_ms: of the attempt that succeeded; whole_ms: since the end of the step before it. */
static void report_step(pipeline *p, double loss, double step_ms) {
  double now = kit_now_ms(), whole_ms = p->step_end_ms > 0 ? now - p->step_end_ms : step_ms;
  p->step_end_ms = now;
  rhz_comm_publish(p->comm, "step", (double)p->progress[STEP]);
  rhz_comm_publish(p->comm, "loss", loss);
  rhz_comm_publish(p->comm, "stage", (double)p->stage);
  kit_refresh_view(p->comm, &p->view);
  if (p->progress[STEP] % p->options->log_every != 0 && p->view.epoch == p->reported_epoch) return;
  p->reported_epoch = p->view.epoch;
  kit_print_line("step=%" PRIu64 " epoch=%" PRIu64 " world=%" PRIu32 " stage=%" PRIu32
                 " loss=%.4f step_ms=%.2f whole_ms=%.2f snapshot_ms=%.3f retries=%" PRIu64
                 " counted=%" PRIu64 " strands=%" PRIu32 " t_us=%" PRIu64,
                 p->progress[STEP], p->view.epoch, p->view.world_size, p->stage, loss, step_ms,
                 whole_ms, p->snapshot_ms, p->retries, counted(p), p->strands, kit_now_us());
  p->snapshot_ms = 0;
}

/* A peer that dies in here has neither the old state nor the new one, and the words that the vault
 * sees say so. */
static rhz_status update(pipeline *p, uint64_t step, double loss) {
  uint64_t *progress = p->progress;
  end_snapshot(p);
  end_checkpoint_copy(p);
  rhz_status status = rhz_state_begin_update(p->comm);
  if (status != RHZ_OK) return note_error(p, status, rhz_last_error());
  stage_state_update(&p->state, p->options, step, counted(p));
  if (step == 1) progress[FIRST_LOSS] = kit_bits_of(loss);
  progress[LAST_LOSS] = kit_bits_of(loss);
  progress[LINEAGE] ^= kit_bits_of(loss);
  progress[LINEAGE] = lm_random(&progress[LINEAGE]);
  progress[POSITION] += p->options->batch;
  lm_random(&progress[RANDOM]);
  progress[STEP] = step;
  status = rhz_state_end_update(p->comm);
  return status == RHZ_OK ? commit(p) : note_error(p, status, rhz_last_error());
}

static rhz_status train_step(pipeline *p) {
  double start = kit_now_ms(), loss = 0;
  uint64_t step = p->progress[STEP] + 1;
  run_pass(p);
  end_protection(p);
  rhz_status status = settle_step(p, &loss);
  if (status != RHZ_OK) return status;
  status = update(p, step, loss);
  if (status != RHZ_OK) return status;
  update_shadow(p, step);
  report_step(p, loss, kit_now_ms() - start);
  begin_snapshot(p); /* its price is the next step's */
  begin_checkpoint(p);
  p->retries = 0;
  p->transfers = 0;
  kit_sleep_ms((double)p->options->min_step_ms - (kit_now_ms() - start));
  return RHZ_OK;
}

/* The first slot that the step has to wait for; p->slots: none. */
static uint32_t first_missing(const pipeline *p) {
  uint32_t slots[MAX_SLOTS];
  for (uint32_t slot = 0; slot < p->slots; slot++) {
    if (is_ready(p, slot)) continue;
    if (p->options->policy == POLICY_REPLAY ||
        holders_of(p, LM_LAYERS, slot / p->replicas, slots) == 0)
      return slot;
  }
  return p->slots;
}

/* Each death is died once: whoever comes in the place of the dead does not repeat it. */
static void die_if_told_to(const pipeline *p) {
  const options *o = p->options;
  uint64_t step = p->progress[STEP] + 1;
  for (size_t i = 0; i < o->death_count; i++) {
    int is_new = !p->view.joined || step > p->born + 1;
    if (o->deaths[i].slot == p->view.slot && o->deaths[i].step == step && is_new) kit_die();
  }
}

rhz_status make_trip(pipeline *p, int *over) {
  int all_ready = 1, all_stages_here = 1;
  rhz_status status = p->at_boundary ? RHZ_OK : pass_boundary(p);
  p->at_boundary = 0;
  if (status == RHZ_OK) status = call_roll(p);
  if (status != RHZ_OK) return status;
  for (uint32_t slot = 0; slot < p->slots; slot++)
    all_ready = all_ready && (is_ready(p, slot) || !is_here(p, slot));
  status = check_stages(p, &all_stages_here);
  if (status == RHZ_OK && lacks_groups(p)) status = make_groups(p);
  if (status != RHZ_OK) return status;
  /* Before, it is not known what the others bring. */
  if (!all_ready && all_stages_here) {
    if (++p->transfers <= MAX_TRANSFERS) return transfer_state(p);
    snprintf(p->error, sizeof(p->error),
             "the state was transferred %d times, and somebody still lacks it", MAX_TRANSFERS);
    return RHZ_ERR_STATE_LOST;
  }
  uint32_t missing = first_missing(p);
  if (missing < p->slots) {
    snprintf(p->error, sizeof(p->error), "slot %" PRIu32 " of stage %" PRIu32 " is vacant", missing,
             missing / p->replicas);
    return RHZ_ERR_WORLD_TOO_SMALL;
  }
  if (lacks_shadows(p)) {
    refresh_shadows(p);
    return RHZ_OK;
  }
  *over = p->progress[STEP] >= p->options->steps;
  die_if_told_to(p);
  return *over ? RHZ_OK : train_step(p);
}
