/* Where every peer's state comes from after a loss: a function of what all peers know alike.
 *
 * The library's planner says which revision all go back to (docs/recovery.md); here follows who
 * gets it from where. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pipeline.h"

const char *const source_names[] = {"replica", "attach",  "vault", "shards",
                                    "shadow",  "average", "disk",  NULL};

stand_in stand_in_for(const options *o, uint32_t stage) {
  stand_in s = {o->substitute == SUBSTITUTE_COPY, stage - 1, stage + 1};
  if (stage > 0 && stage + 1 < o->stages) return s;
  s.copy = 1;
  s.before = s.after = stage == 0 ? 1 : stage - 1;
  return s;
}

/* Whether that peer can have this revision by itself. */
static int has(const pipeline *p, const facts *f, uint32_t slot, uint64_t revision) {
  if (f->live[slot] == revision) return 1;
  if (may_use(p, SOURCE_ATTACH) && f->attached[slot] == revision) return 1;
  return may_use(p, SOURCE_VAULT) &&
         (f->snapshots[0][slot] == revision || f->snapshots[1][slot] == revision);
}

/* Who follows that stage, and is here; p->slots: nobody. */
static uint32_t shadow_keeper(const pipeline *p, const facts *f, uint32_t stage,
                              uint64_t revision) {
  for (uint32_t slot = 0; slot < p->slots && may_use(p, SOURCE_SHADOW); slot++)
    if (owner_of(p, slot) / p->replicas == stage && f->shadows[slot] == revision &&
        f->live[slot] == revision)
      return slot;
  return p->slots;
}

static int has_shards(const facts *f, uint32_t stage, uint64_t revision) {
  return revision != 0 && (f->shards[0][stage] == revision || f->shards[1][stage] == revision);
}

/* Whether all peers of that stage that are here can have it exactly. */
static int is_exact(const pipeline *p, const facts *f, uint32_t stage, uint64_t revision) {
  uint32_t with = 0, without = 0;
  if (has_shards(f, stage, revision)) return 1;
  if (shadow_keeper(p, f, stage, revision) < p->slots) return 1;
  for (uint32_t slot = stage * p->replicas; slot < (stage + 1) * p->replicas; slot++) {
    if (!is_here(p, slot)) continue;
    if (has(p, f, slot, revision))
      with++;
    else
      without++;
  }
  return with > 0 && (without == 0 || may_use(p, SOURCE_REPLICA));
}

rhz_status may_stand_in(pipeline *p, uint32_t stage, const int lost[MAX_STAGES]) {
  stand_in s = stand_in_for(p->options, stage);
  if (p->stages == 1) {
    snprintf(p->error, sizeof(p->error), "stage 0 is lost, and there is no other: start again");
  } else if (!may_use(p, SOURCE_AVERAGE)) {
    snprintf(p->error, sizeof(p->error),
             "stage %" PRIu32 " is lost, and --sources takes no average of those beside it", stage);
  } else if (lost[s.before] || lost[s.after]) {
    snprintf(p->error, sizeof(p->error),
             "stages %" PRIu32 " and %" PRIu32
             " are both lost, and neither can stand in for the other: start again, with more "
             "--replicas",
             stage, lost[s.before] ? s.before : s.after);
  } else if (s.before == s.after && p->options->order == ORDER_PLAIN) {
    snprintf(p->error, sizeof(p->error),
             "stage %" PRIu32
             " is lost, an end of the pipeline; only --order swapped teaches "
             "stage %" PRIu32 " its part: start again with that, or with more --replicas",
             stage, s.before);
  } else {
    return RHZ_OK;
  }
  return RHZ_ERR_STATE_LOST;
}

/* The revision is one that its stage can have. */
static source source_for(const pipeline *p, const facts *f, uint32_t slot, plan *made) {
  uint64_t revision = made->revision;
  uint32_t first = slot / p->replicas * p->replicas;
  if (f->live[slot] == revision) return SOURCES; /* it has it */
  for (uint32_t other = first; other < first + p->replicas; other++) {
    /* One that lives knows the past that the run has: its own snapshots are of that one. */
    if (f->live[other] != 0 && f->live[slot] == 0 && has(p, f, other, revision) &&
        may_use(p, SOURCE_REPLICA))
      return SOURCE_REPLICA;
  }
  if (may_use(p, SOURCE_ATTACH) && f->attached[slot] == revision) return SOURCE_ATTACH;
  if (has(p, f, slot, revision)) return SOURCE_VAULT;
  if (has_shards(f, slot / p->replicas, revision)) return SOURCE_SHARDS;
  made->keeper[slot] = shadow_keeper(p, f, slot / p->replicas, revision);
  if (made->keeper[slot] < p->slots) return SOURCE_SHADOW;
  for (uint32_t other = first; other < first + p->replicas; other++)
    if (is_here(p, other) && has(p, f, other, revision)) return SOURCE_REPLICA;
  for (uint32_t other = 0; other < p->slots; other++)
    if (f->checkpoints[other] == revision ||
        (f->checkpoints[other] != 0 && revision == START_REVISION))
      return SOURCE_DISK;
  return SOURCE_AVERAGE;
}

/* What the planner is told of a stage; the arrays live as long as that. */
typedef struct told {
  uint64_t snapshots[3 * MAX_REPLICAS + 2], checkpoints[2 * MAX_SLOTS];
} told;

/* One that somebody could not load is of use to nobody: all go back to the same revision. */
static void add_checkpoint(const facts *f, uint64_t revision, told *t, rhz_stage_facts *out) {
  for (uint32_t slot = 0; slot < MAX_SLOTS; slot++)
    if (f->unreadable[slot] == revision) return;
  t->checkpoints[out->checkpoint_count++] = revision;
}

/* Of memory that was attached to it knows one revision, and of shards it wants to know each stripe:
 * these are as good as snapshots here. */
static void add_revision(const pipeline *p, const facts *f, uint32_t stage, uint64_t revision,
                         told *t, rhz_stage_facts *out) {
  if (revision != 0 && is_exact(p, f, stage, revision))
    t->snapshots[out->snapshot_count++] = revision;
}

static void tell_stage(const pipeline *p, const facts *f, uint32_t stage, uint64_t newest, told *t,
                       rhz_stage_facts *out) {
  *out = (rhz_stage_facts){.struct_size = sizeof(*out)};
  out->state_bytes = 3 * p->state.count * sizeof(lm_real);
  out->parameter_bytes = p->state.parts[LM_LAYERS].count * sizeof(lm_real);
  for (uint32_t slot = stage * p->replicas; slot < (stage + 1) * p->replicas; slot++) {
    if (!is_here(p, slot)) continue;
    if (f->live[slot] != 0 && f->live[slot] == newest)
      out->live++;
    else
      out->lost++;
    add_revision(p, f, stage, f->snapshots[0][slot], t, out);
    add_revision(p, f, stage, f->snapshots[1][slot], t, out);
    if (out->kept == RHZ_KEPT_UNKNOWN && f->attached[slot] != 0 &&
        is_exact(p, f, stage, f->attached[slot])) {
      out->kept = RHZ_KEPT_WHOLE;
      out->kept_revision = f->attached[slot];
    } else {
      add_revision(p, f, stage, f->attached[slot], t, out);
    }
  }
  if (out->lost > 0 && !may_use(p, SOURCE_REPLICA)) {
    out->lost += out->live;
    out->live = 0;
  }
  add_revision(p, f, stage, f->shards[0][stage], t, out);
  add_revision(p, f, stage, f->shards[1][stage], t, out);
  if (shadow_keeper(p, f, stage, newest) < p->slots) out->shadow_revision = newest;
  for (uint32_t slot = 0; slot < p->slots; slot++) {
    if (f->checkpoints[slot] == 0) continue;
    add_checkpoint(f, f->checkpoints[slot], t, out);
    add_checkpoint(f, START_REVISION, t, out);
  }
  out->snapshots = t->snapshots;
  out->checkpoints = t->checkpoints;
}

/* Why, in the words of this program's options, where they can help. */
static rhz_status explain_loss(pipeline *p, const facts *f, uint64_t newest, rhz_status status) {
  int lost[MAX_STAGES] = {0};
  note_error(p, status, rhz_last_error());
  for (uint32_t stage = 0; stage < p->stages; stage++) lost[stage] = !is_exact(p, f, stage, newest);
  for (uint32_t stage = 0; stage < p->stages; stage++)
    if (lost[stage] && may_stand_in(p, stage, lost) != RHZ_OK) break;
  return status;
}

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Where nobody holds a revision any more, the newest that anybody could have. */
static uint64_t newest_of(const pipeline *p, const facts *f) {
  uint64_t live = 0, other = 0;
  for (uint32_t slot = 0; slot < p->slots; slot++) {
    live = larger(live, f->live[slot]);
    other = larger(other, f->attached[slot]);
    other = larger(other, larger(f->snapshots[0][slot], f->snapshots[1][slot]));
    other = larger(other, larger(f->shards[0][slot / p->replicas], f->checkpoints[slot]));
  }
  return live ? live : other;
}

/* One says it for all. */
static void print_plan(const pipeline *p, const rhz_plan *made) {
  uint32_t first = 0;
  while (first < p->slots && !is_here(p, first)) first++;
  for (uint32_t line = 0; p->view.slot == first && rhz_plan_line(made, line); line++)
    kit_print_line("plan %s", rhz_plan_line(made, line));
}

rhz_status make_plan(pipeline *p, const facts *f, plan *made) {
  rhz_stage_facts stages[MAX_STAGES];
  told all[MAX_STAGES];
  rhz_plan *found = NULL;
  rhz_plan_params params = {.struct_size = sizeof(params), .facts = stages};
  rhz_plan_info info = {.struct_size = sizeof(info)};
  uint64_t newest = newest_of(p, f);
  memset(made, 0, sizeof(*made));
  for (uint32_t stage = 0; stage < p->stages; stage++)
    tell_stage(p, f, stage, newest, &all[stage], &stages[stage]);
  params.stages = p->stages;
  params.replicas = p->replicas;
  params.revision = newest;
  params.schedule = p->options->order == ORDER_SWAPPED ? RHZ_SCHEDULE_SWAPPED : RHZ_SCHEDULE_PLAIN;
  params.approximate =
      may_use(p, SOURCE_AVERAGE) ? RHZ_APPROXIMATE_LAST_RESORT : RHZ_APPROXIMATE_NEVER;
  rhz_status status = rhz_plan_make(NULL, &params, &found);
  if (status == RHZ_OK) status = rhz_plan_info_get(found, &info);
  if (status != RHZ_OK) return explain_loss(p, f, newest, status);
  print_plan(p, found);
  rhz_plan_close(found);
  made->revision = info.revision;
  for (uint32_t slot = 0; slot < p->slots; slot++)
    made->from[slot] = is_here(p, slot) ? source_for(p, f, slot, made) : SOURCES;
  return RHZ_OK;
}
