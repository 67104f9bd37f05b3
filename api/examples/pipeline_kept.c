/* The memory of a peer's state: where a vault is, it outlives the peer (docs/recovery.md). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline.h"

enum { PROGRESS_TENSOR, NOTES_TENSOR, FIRST_ARRAY, KEPT_TENSORS = FIRST_ARRAY + 3 };
enum { ALIGNMENT = 64 };

static size_t aligned(size_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

/* All of it lies in one block.  block NULL: only what the tensors look like, and the block's size.
 */
static size_t lay_out(size_t count, unsigned char *block, rhz_tensor tensors[KEPT_TENSORS]) {
  static const char *const names[] = {"progress", "stage/notes", "stage/parameters",
                                      "stage/adamw/first_moment", "stage/adamw/second_moment"};
  size_t offset = 0;
  for (int i = 0; i < KEPT_TENSORS; i++) {
    rhz_tensor t = {.struct_size = sizeof(t), .name = names[i], .flags = RHZ_TENSOR_OWN};
    size_t bytes = count * sizeof(lm_real);
    t.dtype = RHZ_DTYPE_F32;
    t.count_elems = count;
    if (i == PROGRESS_TENSOR) {
      t.dtype = RHZ_DTYPE_U64;
      t.count_elems = PROGRESS_WORDS;
      t.flags = RHZ_TENSOR_SHARED;
      bytes = PROGRESS_WORDS * sizeof(uint64_t);
    } else if (i == NOTES_TENSOR) {
      t.dtype = RHZ_DTYPE_U8;
      t.count_elems = bytes = sizeof(stage_notes);
    }
    if (block) t.data = block + offset;
    offset += aligned(bytes);
    tensors[i] = t;
  }
  return offset;
}

static void use_memory(pipeline *p, const rhz_tensor tensors[KEPT_TENSORS]) {
  p->progress = tensors[PROGRESS_TENSOR].data;
  p->state.notes = tensors[NOTES_TENSOR].data;
  p->state.parameters = tensors[FIRST_ARRAY].data;
  p->state.first_moment = tensors[FIRST_ARRAY + 1].data;
  p->state.second_moment = tensors[FIRST_ARRAY + 2].data;
}

static rhz_status attach(pipeline *p, rhz_tensor tensors[KEPT_TENSORS]) {
  rhz_attach_params params = {.struct_size = sizeof(params), .tensors = tensors};
  rhz_attach_info info = {.struct_size = sizeof(info)};
  params.tensor_count = KEPT_TENSORS;
  rhz_status status = rhz_state_attach(p->comm, &params, &info);
  if (status != RHZ_OK) return status;
  use_memory(p, tensors);
  p->attached = info.revision;
  memcpy(p->attached_progress, p->progress, sizeof(p->attached_progress));
  return RHZ_OK;
}

static rhz_status begin_anew(pipeline *p, rhz_tensor tensors[KEPT_TENSORS]) {
  void *block = NULL;
  rhz_status status = rhz_alloc(p->comm, lay_out(p->state.count, NULL, tensors), &block);
  if (status != RHZ_OK) return status;
  lay_out(p->state.count, block, tensors);
  use_memory(p, tensors);
  return RHZ_OK;
}

int may_use(const pipeline *p, source which) { return (p->options->sources >> which & 1) != 0; }

int is_kept(const pipeline *p) {
  if (may_use(p, SOURCE_DISK) && p->options->checkpoint_every) return 1;
  if (may_use(p, SOURCE_SHADOW) && p->options->shadow) return 1;
  if (may_use(p, SOURCE_SHARDS) && p->options->protect_every) return 1;
  return getenv("RHZ_VAULT") && (may_use(p, SOURCE_ATTACH) || may_use(p, SOURCE_VAULT));
}

rhz_status take_memory(pipeline *p) {
  rhz_tensor tensors[KEPT_TENSORS];
  rhz_status status = RHZ_ERR_STATE_LOST;
  lay_out(p->state.count, NULL, tensors);
  p->attached = 0;
  if (may_use(p, SOURCE_ATTACH)) status = attach(p, tensors);
  if (status != RHZ_OK) status = begin_anew(p, tensors);
  for (int i = 0; i < KEPT_TENSORS && status == RHZ_OK; i++)
    status = rhz_state_register(p->comm, &tensors[i]);
  return status;
}

void forget_memory(pipeline *p) {
  if (p->progress != p->last_progress)
    memcpy(p->last_progress, p->progress, sizeof(p->last_progress));
  p->progress = p->last_progress;
  p->state.parameters = NULL;
}

/* Another peer may have got the slot that was asked for; and the others may have gone back, and on
 * from there otherwise. */
void check_attached(pipeline *p) {
  int same = p->state.notes->stage == p->stage;
  if (p->attached == p->progress[STEP] + 1)
    same = same && p->attached_progress[LINEAGE] == p->progress[LINEAGE];
  if (!same) p->attached = 0;
}

/* ------------------------------------------------------------------------------------ snapshots */

/* Training goes on without one; the older one is still there. */
static void note_snapshot(pipeline *p, rhz_status status) {
  if (status == RHZ_OK || status == p->snapshot_status) return;
  p->snapshot_status = status;
  kit_print_line("no_snapshot step=%" PRIu64 " status=%" PRId32 " error=\"%s\"", p->progress[STEP],
                 status, rhz_last_error());
}

void begin_snapshot(pipeline *p) {
  uint64_t every = p->options->snapshot_every;
  double begin = kit_now_ms();
  if (every != 0 && p->progress[STEP] % every == 0) {
    note_snapshot(p, rhz_snapshot(p->comm, NULL));
    begin_protection(p);
  }
  p->snapshot_ms += kit_now_ms() - begin;
}

void end_snapshot(pipeline *p) {
  double begin = kit_now_ms();
  note_snapshot(p, rhz_snapshot_fence(p->comm, 0));
  p->snapshot_ms += kit_now_ms() - begin;
}

/* What the vault has of this slot may be of a past that the run has left while the slot was vacant:
 * both snapshots are replaced. */
void replace_snapshots(pipeline *p) {
  if (p->options->snapshot_every == 0) return;
  for (int i = 0; i < 2; i++) {
    note_snapshot(p, rhz_snapshot(p->comm, NULL));
    end_snapshot(p);
  }
}

void list_snapshots(pipeline *p, uint64_t revisions[2]) {
  uint64_t found[2];
  uint32_t count = 2;
  revisions[0] = revisions[1] = 0;
  if (!may_use(p, SOURCE_VAULT)) return;
  if (rhz_snapshot_list(p->comm, found, &count) != RHZ_OK) return;
  for (uint32_t i = 0; i < count; i++) revisions[i] = found[i] == p->spoilt ? 0 : found[i];
}

int restore_snapshot(pipeline *p, uint64_t revision) {
  rhz_restore_params params = {.struct_size = sizeof(params), .revision = revision};
  p->attached = 0;
  if (rhz_restore(p->comm, &params, NULL) == RHZ_OK) return 1;
  note_error(p, RHZ_ERR_STATE_LOST, rhz_last_error());
  kit_print_line("not_restored stage=%" PRIu32 " revision=%" PRIu64 " error=\"%s\"", p->stage,
                 revision, p->error);
  p->spoilt = revision;
  return 0;
}

int restore_attached(pipeline *p) {
  memcpy(p->progress, p->attached_progress, sizeof(p->attached_progress));
  p->attached = 0;
  return commit(p) == RHZ_OK;
}
