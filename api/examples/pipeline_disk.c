/* Checkpoints of the whole model: each stage writes its layers, the first one the embedding and the
 * last one the head too.  Layers lie behind each other as in the whole model, so that they could be
 * loaded by another number of stages. */
#include <inttypes.h>
#include <stdio.h>

#include "pipeline.h"

enum { ARRAYS = 4, MAX_SLICES = LM_PARTS * ARRAYS + 1, NAME_BYTES = 40 };
enum { END_PATIENCE_MS = 30000 };

typedef struct slices {
  rhz_tensor_slice list[MAX_SLICES];
  char names[MAX_SLICES][NAME_BYTES];
  uint32_t count;
} slices;

/* Element `first` of a flat tensor on. */
static void add(slices *s, const char *part, const char *what, void *data, uint64_t first,
                uint64_t count, uint64_t *whole, uint32_t dtype) {
  rhz_tensor_slice *slice = &s->list[s->count];
  snprintf(s->names[s->count], NAME_BYTES, "%s%s", part, what);
  *slice = (rhz_tensor_slice){.struct_size = sizeof(*slice), .name = s->names[s->count]};
  slice->data = data;
  slice->first = first;
  slice->count_elems = count;
  slice->shape = whole;
  slice->dims = 1;
  slice->dtype = dtype;
  s->count++;
}

/* What this stage has of the whole model; writing: without what another one writes.  whole: lengths
 * that live as long as *s. */
static void list_slices(pipeline *p, int writing, slices *s, uint64_t whole[LM_PARTS][2],
                        uint64_t *progress_words) {
  static const char *const parts[] = {"embedding/", "head/", "layers/"};
  stage_state *state = &p->state;
  s->count = 0;
  for (int part = 0; part < LM_PARTS; part++) {
    const lm_part range = state->parts[part];
    uint64_t stages = part == LM_LAYERS ? p->stages : 1;
    uint64_t index = part == LM_LAYERS ? p->stage : 0;
    uint32_t writer = part == LM_EMBEDDING ? 0 : p->stages - 1;
    if (!state->holds[part] || (writing && part != LM_LAYERS && p->stage != writer)) continue;
    lm_real *arrays[] = {state->parameters, state->first_moment, state->second_moment};
    static const char *const names[] = {"parameters", "adamw/first_moment", "adamw/second_moment"};
    whole[part][0] = stages * range.count;
    whole[part][1] = stages * sizeof(part_notes);
    for (int i = 0; i < ARRAYS - 1; i++)
      add(s, parts[part], names[i], arrays[i] + range.offset, index * range.count, range.count,
          &whole[part][0], RHZ_DTYPE_F32);
    add(s, parts[part], "notes", &state->notes->parts[part], index * sizeof(part_notes),
        sizeof(part_notes), &whole[part][1], RHZ_DTYPE_U8);
  }
  *progress_words = PROGRESS_WORDS;
  if (!writing || p->stage == 0)
    add(s, "", "progress", p->progress, 0, PROGRESS_WORDS, progress_words, RHZ_DTYPE_U64);
}

/* One peer of each stage writes. */
static int writes(const pipeline *p) {
  uint32_t slots[MAX_SLOTS];
  return holders_of(p, LM_LAYERS, p->stage, slots) > 0 && slots[0] == p->view.slot;
}

static void note_checkpoint(pipeline *p, rhz_status status) {
  if (status == RHZ_OK || status == RHZ_PENDING || status == p->checkpoint_status) return;
  p->checkpoint_status = status;
  kit_print_line("no_checkpoint step=%" PRIu64 " status=%" PRId32 " error=\"%s\"",
                 p->progress[STEP], status, rhz_last_error());
}

void begin_checkpoint(pipeline *p) {
  uint64_t every = p->options->checkpoint_every, whole[LM_PARTS][2], words;
  slices s;
  rhz_checkpoint_params params = {.struct_size = sizeof(params), .slices = s.list};
  if (every == 0 || p->progress[STEP] % every != 0 || !writes(p)) return;
  complete_checkpoint(p);
  list_slices(p, 1, &s, whole, &words);
  params.folder = p->options->checkpoint_folder;
  params.slice_count = s.count;
  params.writer = p->stage;
  params.writers = p->stages;
  params.keep = 2;
  note_checkpoint(p, rhz_checkpoint(p->comm, &params));
}

void end_checkpoint_copy(pipeline *p) { note_checkpoint(p, rhz_checkpoint_fence(p->comm, 0)); }

uint64_t complete_checkpoint(pipeline *p) {
  rhz_checkpoint_info info = {.struct_size = sizeof(info)};
  if (p->options->checkpoint_every == 0) return 0;
  rhz_status status = rhz_checkpoint_poll(p->comm, &info);
  if (status == RHZ_OK && info.complete) p->checkpoint = info.revision;
  note_checkpoint(p, status);
  return p->checkpoint ? p->checkpoint : START_REVISION;
}

void finish_checkpoints(pipeline *p) {
  if (p->options->checkpoint_every == 0 || !p->comm) return;
  note_checkpoint(p, rhz_checkpoint_wait(p->comm, END_PATIENCE_MS, NULL));
}

/* Before the first checkpoint is complete: as if the run were started anew. */
static int load_start(pipeline *p) {
  return rhz_state_replace(p->comm) == RHZ_OK && begin_at_start(p) && commit(p) == RHZ_OK;
}

int load_checkpoint(pipeline *p, uint64_t revision) {
  if (revision == START_REVISION) return load_start(p);
  uint64_t whole[LM_PARTS][2], words;
  slices s;
  rhz_checkpoint_load_params params = {.struct_size = sizeof(params), .slices = s.list};
  p->attached = 0;
  list_slices(p, 0, &s, whole, &words);
  params.folder = p->options->checkpoint_folder;
  params.revision = revision;
  params.slice_count = s.count;
  rhz_status status = rhz_checkpoint_load(p->comm, &params, NULL);
  if (status == RHZ_OK && commit(p) == RHZ_OK) {
    p->checkpoint = revision; /* whoever comes next can be told of it */
    p->unreadable = 0;
    return 1;
  }
  kit_print_line("not_loaded stage=%" PRIu32 " revision=%" PRIu64 " error=\"%s\"", p->stage,
                 revision, rhz_last_error());
  p->unreadable = revision;
  if (p->checkpoint == revision) p->checkpoint = 0;
  return 0;
}
