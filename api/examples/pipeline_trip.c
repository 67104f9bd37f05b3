#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pipeline.h"

rhz_status note_error(pipeline *p, rhz_status status, const char *what) {
  snprintf(p->error, sizeof(p->error), "%s", what);
  return status;
}

static rhz_status finish_op(pipeline *p, rhz_status submitted, rhz_op *op, uint32_t wait_flags,
                            rhz_op_info *info) {
  rhz_status outcome = kit_finish_op(submitted, op, wait_flags, info, p->error);
  if (outcome != RHZ_OK) p->failed_ops++;
  return outcome;
}

/* Keeps the old view where there is none: the next op says why. */
static void refresh_view(pipeline *p) {
  rhz_view view = {.struct_size = sizeof(view)};
  if (rhz_comm_view(p->comm, &view) == RHZ_OK) p->view = view;
}

rhz_status commit(pipeline *p) {
  rhz_status status = rhz_state_commit(p->comm, p->progress[STEP] + 1);
  /* No member any more: the next op says why, and that is where it is dealt with. */
  if (status == RHZ_ERR_STATE) return RHZ_OK;
  return status == RHZ_OK ? status : note_error(p, status, rhz_last_error());
}

/* The sum over a communicator, in place. */
static rhz_allreduce_params sum_of(void *data, uint64_t count, uint32_t dtype) {
  rhz_allreduce_params params = {.struct_size = sizeof(params)};
  params.recv = data;
  params.count_elems = count;
  params.dtype = dtype;
  params.redop = RHZ_REDOP_SUM;
  return params;
}

static uint64_t tag_of(const pipeline *p, uint64_t number) { return p->trip << 16 | number; }

rhz_status submit_send(pipeline *p, uint32_t slot, uint64_t number, const void *data, size_t bytes,
                       rhz_op **op) {
  rhz_message_params params = {.struct_size = sizeof(params)};
  params.send = data;
  params.bytes = bytes;
  params.tag = tag_of(p, number);
  params.peer_slot = slot;
  *op = NULL;
  return rhz_send(p->comm, &params, op);
}

int receive(pipeline *p, uint32_t slot, uint64_t number, void *data, size_t bytes) {
  rhz_op *op = NULL;
  rhz_op_info info;
  rhz_message_params params = {.struct_size = sizeof(params)};
  params.recv = data;
  params.bytes = bytes;
  params.tag = tag_of(p, number);
  params.peer_slot = slot;
  rhz_status submitted = rhz_recv(p->comm, &params, &op);
  return finish_op(p, submitted, op, RHZ_WAIT_DEFAULT, &info) == RHZ_OK && info.bytes == bytes;
}

enum { IS_HERE = 1, IS_READY = 2, IS_GROUPED = 4, IS_KEPT = 8, TRIP_SHIFT = 8 };

int is_here(const pipeline *p, uint32_t slot) { return (p->roll.words[slot] & IS_HERE) != 0; }
int is_ready(const pipeline *p, uint32_t slot) { return (p->roll.words[slot] & IS_READY) != 0; }

void set_ready(pipeline *p, uint32_t slot, int ready) {
  p->roll.words[slot] &= ~(uint64_t)IS_READY;
  if (ready) p->roll.words[slot] |= IS_READY;
}

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

/* Where joiners come in.  The registered state does not change while this is open. */
static rhz_status pass_boundary(pipeline *p) {
  rhz_op *op = NULL;
  rhz_op_info info;
  rhz_status submitted = rhz_admit(p->comm, &op);
  return finish_op(p, submitted, op, RHZ_WAIT_DEFAULT, &info);
}

/* What must be the same on all peers, in one number. */
static uint64_t settings_of(const pipeline *p) {
  const options *o = p->options;
  const uint64_t all[] = {o->stages,
                          o->replicas,
                          o->layers,
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

/* Each peer gives its own words; from here on the roll, not the view, says who takes part. */
static rhz_status call_roll(pipeline *p) {
  rhz_op *op = NULL;
  rhz_op_info info;
  rhz_allreduce_params params = sum_of(&p->roll, sizeof(p->roll) / sizeof(uint64_t), RHZ_DTYPE_U64);
  refresh_view(p);
  memset(&p->roll, 0, sizeof(p->roll));
  p->roll.settings[p->view.slot] = settings_of(p);
  p->roll.words[p->view.slot] = IS_HERE | (p->ready ? IS_READY : 0u) |
                                (p->grouped ? IS_GROUPED : 0u) | (is_kept(p) ? IS_KEPT : 0u) |
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

/* Who enters is in no group: so all make them again. */
static rhz_status make_groups(pipeline *p) {
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

/* Each part's gradient, over those who have it.  0: not from everybody who shares in the step. */
static int sum_gradients(pipeline *p) {
  rhz_op *ops[LM_PARTS] = {NULL};
  rhz_status submitted[LM_PARTS];
  uint32_t slots[MAX_SLOTS];
  int complete = 1;
  for (int part = 0; part < LM_PARTS; part++) {
    const lm_part range = p->state.parts[part];
    rhz_allreduce_params params =
        sum_of(p->state.gradient + range.offset, range.count, RHZ_DTYPE_F32);
    if (p->groups[part]) submitted[part] = rhz_allreduce(p->groups[part], &params, &ops[part]);
    if (p->groups[part] && submitted[part] != RHZ_OK)
      note_error(p, submitted[part], rhz_last_error());
  }
  for (int part = 0; part < LM_PARTS; part++) {
    rhz_op_info info;
    if (!p->groups[part]) continue;
    uint32_t expected = holders_of(p, (lm_part_name)part, p->stage, slots);
    if (finish_op(p, submitted[part], ops[part], RHZ_WAIT_DEFAULT, &info) != RHZ_OK ||
        info.contributors_min != expected)
      complete = 0;
  }
  return complete;
}

/* Of the whole run: losses[m] is given by one peer, the others give 0. */
typedef struct ballot {
  double against, in_favour[MAX_STAGES], losses_known, losses[MAX_MICRO_BATCHES];
} ballot;

/* RHZ_OK: all that are left, and someone of each stage, have what the update needs, and so has
 * everybody else: *loss is the step's. */
static rhz_status vote(pipeline *p, int complete, double *loss, rhz_op_info *info) {
  ballot b;
  rhz_op *op = NULL;
  rhz_allreduce_params params = sum_of(&b, sizeof(b) / sizeof(double), RHZ_DTYPE_F64);
  uint64_t count = p->options->micro_batches;
  memset(&b, 0, sizeof(b));
  b.against = complete ? 0 : 1;
  b.in_favour[p->stage] = complete ? 1 : 0;
  for (uint64_t m = 0; m < count; m++) {
    b.losses[m] = p->losses[m];
    b.losses_known += p->has_loss[m];
  }
  /* The last step is followed by a digest on stdout, which nobody can take back. */
  int is_last = p->progress[STEP] + 1 == p->options->steps;
  rhz_status submitted = rhz_allreduce(p->comm, &params, &op);
  rhz_status status =
      finish_op(p, submitted, op, is_last ? RHZ_WAIT_FINAL : RHZ_WAIT_DEFAULT, info);
  if (status != RHZ_OK) return status;
  int carried = b.against == 0 && b.losses_known == (double)count;
  for (uint32_t stage = 0; stage < p->stages; stage++) carried = carried && b.in_favour[stage] > 0;
  if (!carried) return note_error(p, RHZ_ERR_PEER_LOST, "a peer died in this step");
  *loss = 0;
  for (uint64_t m = 0; m < count; m++) *loss += b.losses[m];
  *loss /= (double)count;
  return RHZ_OK;
}

/* step_ms: of the attempt that succeeded; whole_ms: since the end of the step before it. */
static void report_step(pipeline *p, double loss, double step_ms) {
  double now = kit_now_ms(), whole_ms = p->step_end_ms > 0 ? now - p->step_end_ms : step_ms;
  p->step_end_ms = now;
  rhz_comm_publish(p->comm, "step", (double)p->progress[STEP]);
  rhz_comm_publish(p->comm, "loss", loss);
  rhz_comm_publish(p->comm, "stage", (double)p->stage);
  refresh_view(p);
  if (p->progress[STEP] % p->options->log_every != 0 && p->view.epoch == p->reported_epoch) return;
  p->reported_epoch = p->view.epoch;
  kit_print_line("step=%" PRIu64 " epoch=%" PRIu64 " world=%" PRIu32 " stage=%" PRIu32
                 " loss=%.4f step_ms=%.2f whole_ms=%.2f snapshot_ms=%.3f retries=%" PRIu64
                 " t_us=%" PRIu64,
                 p->progress[STEP], p->view.epoch, p->view.world_size, p->stage, loss, step_ms,
                 whole_ms, p->snapshot_ms, p->retries, kit_now_us());
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
  stage_state_update(&p->state, p->options, step);
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
  double start = kit_now_ms(), loss;
  rhz_op_info info;
  uint64_t step = p->progress[STEP] + 1;
  if (step == 1 && p->retries == 0) begin_checkpoint(p); /* collectives have begun */
  int complete = run_pass(p);
  complete = sum_gradients(p) && complete; /* in any case: others of a group wait for it */
  rhz_status status = vote(p, complete, &loss, &info);
  if (status != RHZ_OK) return status;
  status = update(p, step, loss);
  if (status != RHZ_OK) return status;
  report_step(p, loss, kit_now_ms() - start);
  begin_snapshot(p); /* its price is the next step's */
  begin_checkpoint(p);
  p->retries = 0;
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

/* What everybody has, and where everybody's state comes from. */
static rhz_status transfer_state(pipeline *p) {
  facts f;
  plan made;
  rhz_op *op = NULL;
  rhz_op_info info;
  uint64_t snapshots[2];
  rhz_allreduce_params params = sum_of(&f, sizeof(f) / sizeof(uint64_t), RHZ_DTYPE_U64);
  list_snapshots(p, snapshots);
  end_checkpoint_copy(p);
  memset(&f, 0, sizeof(f));
  f.live[p->view.slot] = p->ready ? p->progress[STEP] + 1 : 0;
  f.attached[p->view.slot] = p->attached;
  f.snapshots[0][p->view.slot] = snapshots[0];
  f.snapshots[1][p->view.slot] = snapshots[1];
  f.checkpoints[p->view.slot] = may_use(p, SOURCE_DISK) ? complete_checkpoint(p) : 0;
  rhz_status submitted = rhz_allreduce(p->comm, &params, &op);
  rhz_status status = finish_op(p, submitted, op, RHZ_WAIT_DEFAULT, &info);
  if (status == RHZ_OK) status = make_plan(p, &f, &made);
  if (status == RHZ_OK) carry_out(p, &made);
  return status;
}

/* RHZ_ERR_STATE_LOST: a stage has no holder, whoever comes back brings nothing, and those beside it
 * cannot stand in. */
static rhz_status check_stages(pipeline *p, int *all_here) {
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
  int all_grouped = 1, all_ready = 1, all_stages_here = 1;
  rhz_status status = p->at_boundary ? RHZ_OK : pass_boundary(p);
  p->at_boundary = 0;
  if (status == RHZ_OK) status = call_roll(p);
  if (status != RHZ_OK) return status;
  for (uint32_t slot = 0; slot < p->slots; slot++) {
    if (!is_here(p, slot)) continue;
    all_grouped = all_grouped && (p->roll.words[slot] & IS_GROUPED);
    all_ready = all_ready && is_ready(p, slot);
  }
  status = check_stages(p, &all_stages_here);
  if (status == RHZ_OK && !all_grouped) status = make_groups(p);
  if (status != RHZ_OK) return status;
  /* Before, it is not known what the others bring. */
  if (!all_ready && all_stages_here) return transfer_state(p);
  uint32_t missing = first_missing(p);
  if (missing < p->slots) {
    snprintf(p->error, sizeof(p->error), "slot %" PRIu32 " of stage %" PRIu32 " is vacant", missing,
             missing / p->replicas);
    return RHZ_ERR_WORLD_TOO_SMALL;
  }
  *over = p->progress[STEP] >= p->options->steps;
  die_if_told_to(p);
  return *over ? RHZ_OK : train_step(p);
}
