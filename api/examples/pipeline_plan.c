/* Where every peer's state comes from after a loss: a function of what all peers know alike.
 *
 * The rule is that of the library's planner (docs/recovery.md): all hold one revision afterwards;
 * exact sources come before a mean of neighbours, though everybody has to go back for them; of the
 * exact ones, whatever goes back least; and the disk comes last. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pipeline.h"

const char *const source_names[] = {"replica", "attach", "vault", "shadow",
                                    "average", "disk",   NULL};

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

/* Whether all peers of that stage that are here can have it exactly. */
static int is_exact(const pipeline *p, const facts *f, uint32_t stage, uint64_t revision) {
  uint32_t with = 0, without = 0;
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
  made->keeper[slot] = shadow_keeper(p, f, slot / p->replicas, revision);
  if (made->keeper[slot] < p->slots) return SOURCE_SHADOW;
  for (uint32_t other = first; other < first + p->replicas; other++)
    if (is_here(p, other) && has(p, f, other, revision)) return SOURCE_REPLICA;
  return SOURCE_AVERAGE;
}

/* The newest revision that all stages can have exactly, up to the given one; 0: none. */
static uint64_t common_revision(const pipeline *p, const facts *f, uint64_t newest) {
  uint64_t best = 0;
  for (uint32_t slot = 0; slot < p->slots; slot++) {
    const uint64_t candidates[] = {newest, f->attached[slot], f->snapshots[0][slot],
                                   f->snapshots[1][slot]};
    for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
      int all = candidates[i] > best && candidates[i] <= newest;
      for (uint32_t stage = 0; stage < p->stages && all; stage++)
        all = is_exact(p, f, stage, candidates[i]);
      if (all) best = candidates[i];
    }
  }
  return best;
}

/* Whether a mean can stand in for each stage that nobody has at this revision. */
static rhz_status may_average(pipeline *p, const facts *f, uint64_t revision) {
  int lost[MAX_STAGES] = {0};
  rhz_status status = RHZ_OK;
  for (uint32_t stage = 0; stage < p->stages; stage++)
    lost[stage] = !is_exact(p, f, stage, revision);
  for (uint32_t stage = 0; stage < p->stages && status == RHZ_OK; stage++)
    if (lost[stage]) status = may_stand_in(p, stage, lost);
  return status;
}

rhz_status make_plan(pipeline *p, const facts *f, plan *made) {
  uint64_t newest = 0, checkpoint = 0;
  int from_disk = 0;
  memset(made, 0, sizeof(*made));
  for (uint32_t slot = 0; slot < p->slots; slot++) {
    newest = f->live[slot] > newest ? f->live[slot] : newest;
    checkpoint = f->checkpoints[slot] > checkpoint ? f->checkpoints[slot] : checkpoint;
  }
  made->revision = common_revision(p, f, newest);
  if (made->revision == 0) {
    rhz_status status = may_average(p, f, newest);
    from_disk = status != RHZ_OK && may_use(p, SOURCE_DISK) && checkpoint != 0;
    if (status != RHZ_OK && !from_disk) return status;
    made->revision = from_disk ? checkpoint : newest;
  }
  for (uint32_t slot = 0; slot < p->slots; slot++) {
    made->from[slot] = SOURCES;
    if (is_here(p, slot)) made->from[slot] = from_disk ? SOURCE_DISK : source_for(p, f, slot, made);
  }
  return RHZ_OK;
}
