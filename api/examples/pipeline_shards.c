/* Shards with parity of this stage's snapshots, in the vaults of other hosts. */
#include <inttypes.h>
#include <stdio.h>

#include "pipeline.h"

enum { PATIENCE_MS = 20000 }; /* longer than vaults that die are waited for */

static void note_protection(pipeline *p, rhz_status status) {
  if (status == RHZ_OK || status == RHZ_PENDING || status == p->protect_status) return;
  p->protect_status = status;
  kit_print_line("not_protected step=%" PRIu64 " status=%" PRId32 " error=\"%s\"",
                 p->progress[STEP], status, rhz_last_error());
}

/* Nobody takes the next snapshot before the last one is protected, for all wait in the vote: so
 * what is protected of any stage is one of the two snapshots that the others have of theirs. */
void end_protection(pipeline *p) {
  uint64_t every = p->options->protect_every;
  if (every == 0 || (p->progress[STEP] + 1) % every != 0) return;
  note_protection(p, rhz_protect_fence(p->comm, PATIENCE_MS));
}

/* Behind the snapshot of this step.  One that has not come to its end nevertheless goes on. */
void begin_protection(pipeline *p) {
  uint64_t every = p->options->protect_every;
  rhz_protect_params params = {.struct_size = sizeof(params)};
  if (every == 0 || p->progress[STEP] % every != 0) return;
  rhz_status status = rhz_protect_fence(p->comm, 1);
  note_protection(p, status);
  if (status == RHZ_PENDING) return;
  params.revision = p->progress[STEP] + 1;
  params.stage = p->stage;
  params.first_slot = p->stage * p->replicas;
  params.slot_count = p->replicas;
  note_protection(p, rhz_protect(p->comm, &params));
}

/* 0: it is of a past that the run has left, or too much of it is lost. */
static uint64_t of_use(const pipeline *p, const rhz_generation_info *info, uint64_t revision,
                       uint32_t lost) {
  if (p->options->policy == POLICY_CONTINUE && revision > p->left_from && revision <= p->left_to)
    return 0;
  return lost <= info->parity_shards ? revision : 0;
}

void list_shards(pipeline *p, uint32_t stage, uint64_t revisions[2][MAX_STAGES]) {
  rhz_generation_info info = {.struct_size = sizeof(info)};
  if (!may_use(p, SOURCE_SHARDS) || p->options->protect_every == 0) return;
  if (rhz_generation(p->comm, stage, &info) != RHZ_OK) return;
  revisions[0][stage] = of_use(p, &info, info.revision, info.lost);
  revisions[1][stage] = of_use(p, &info, info.revision_before, info.lost_before);
}

int restore_shards(pipeline *p, uint64_t revision) {
  rhz_restore_shards_params params = {.struct_size = sizeof(params), .revision = revision};
  params.stage = p->stage;
  p->attached = 0;
  if (rhz_restore_shards(p->comm, &params, NULL) == RHZ_OK) return 1;
  kit_print_line("not_restored stage=%" PRIu32 " revision=%" PRIu64 " source=shards error=\"%s\"",
                 p->stage, revision, rhz_last_error());
  return 0;
}
