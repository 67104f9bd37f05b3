#include <string.h>

#include "pipeline.h"

/* What comes in place of a micro-batch that was lost on the way is a message without bytes: so
 * every peer sends and receives what the plan says, whatever happens, and nobody waits for somebody
 * who has given up.  A death ends the messages of those beside it, who pass the word on. */

/* Each replica has its own strand; those who have the stage share the strands of those who have
 * not. */
static uint32_t slot_of(const pipeline *p, uint32_t micro_batch, uint32_t stage) {
  uint32_t slots[MAX_SLOTS], own = stage * p->replicas + micro_batch % p->replicas;
  if (is_ready(p, own)) return own;
  uint32_t count = holders_of(p, LM_LAYERS, stage, slots);
  return slots[micro_batch / p->replicas % count];
}

/* This peer's part in the way of a micro-batch. */
typedef struct leg {
  int mine, first, last;
  uint32_t before, after; /* slots */
} leg;

static leg leg_of(const pipeline *p, uint32_t micro_batch) {
  leg l = {0, 0, 0, 0, 0};
  uint32_t way[MAX_STAGES];
  stage_way(p->options, micro_batch, way);
  for (uint32_t i = 0; i < p->stages; i++) {
    if (way[i] != p->stage) continue;
    l.mine = slot_of(p, micro_batch, way[i]) == p->view.slot;
    l.first = i == 0;
    l.last = i + 1 == p->stages;
    if (!l.first) l.before = slot_of(p, micro_batch, way[i - 1]);
    if (!l.last) l.after = slot_of(p, micro_batch, way[i + 1]);
  }
  return l;
}

enum { FORWARD, BACKWARD, DIRECTIONS };

typedef struct outgoing {
  rhz_op *op;
  rhz_status submitted;
  int is_open;
} outgoing;

static void pass_on(pipeline *p, outgoing *out, uint32_t slot, uint32_t micro_batch,
                    int direction) {
  out->submitted = submit_send(p, slot, micro_batch * DIRECTIONS + (uint64_t)direction,
                               lm_stream(p->models[micro_batch]),
                               p->done[micro_batch] ? p->stream_bytes : 0, &out->op);
  out->is_open = 1;
}

static void take_in(pipeline *p, uint32_t slot, uint32_t micro_batch, int direction) {
  if (!receive(p, slot, micro_batch * DIRECTIONS + (uint64_t)direction,
               lm_stream(p->models[micro_batch]), p->stream_bytes))
    p->done[micro_batch] = 0;
}

/* The stream may be written to again. */
static void end_send(pipeline *p, outgoing *out, uint32_t micro_batch) {
  rhz_op_info info;
  if (!out->is_open) return;
  out->is_open = 0;
  if (kit_finish_op(out->submitted, out->op, RHZ_WAIT_DEFAULT, &info, p->error) == RHZ_OK) return;
  p->failed_ops++;
  p->done[micro_batch] = 0;
}

static void sample(pipeline *p, uint32_t micro_batch) {
  lm_text_sample(p->text, micro_batch, p->progress[POSITION], p->progress[RANDOM],
                 (size_t)p->options->batch, (size_t)p->options->context, p->inputs, p->targets);
}

static void forward(pipeline *p, uint32_t m, const leg *l, outgoing *out) {
  lm_model *model = p->models[m];
  sample(p, m);
  if (l->first)
    lm_embed(model, p->state.parameters, p->inputs);
  else
    take_in(p, l->before, m, FORWARD);
  if (p->done[m]) lm_layers_forward(model, p->state.parameters);
  if (!l->last) {
    pass_on(p, out, l->after, m, FORWARD);
  } else if (p->done[m]) {
    p->losses[m] = (double)lm_head_forward(model, p->state.parameters, p->targets);
  }
}

static void backward(pipeline *p, uint32_t m, const leg *l, outgoing *out) {
  lm_model *model = p->models[m];
  lm_real *share = p->shares[m % p->replicas];
  end_send(p, out, m);
  if (!l->last)
    take_in(p, l->after, m, BACKWARD);
  else if (p->done[m])
    lm_head_backward(model, p->state.parameters, share);
  if (p->done[m]) lm_layers_backward(model, p->state.parameters, share);
  if (!l->first) {
    pass_on(p, out, l->before, m, BACKWARD);
  } else if (p->done[m]) {
    sample(p, m);
    lm_embed_backward(model, p->inputs, share);
  }
}

/* All forward, then all backward, each in the order of the micro-batches on every stage: so nobody
 * waits in a circle. */
void run_pass(pipeline *p) {
  uint32_t count = (uint32_t)p->options->micro_batches;
  leg legs[MAX_MICRO_BATCHES];
  outgoing out[MAX_MICRO_BATCHES];
  uint32_t begun = 0; /* strands */
  memset(out, 0, sizeof(out));
  for (uint32_t m = 0; m < count; m++) {
    const uint32_t strand = m % p->replicas;
    legs[m] = leg_of(p, m);
    p->mine[m] = p->done[m] = legs[m].mine;
    p->losses[m] = 0;
    if (!legs[m].mine) continue;
    if (!(begun >> strand & 1)) memset(p->shares[strand], 0, p->state.count * sizeof(lm_real));
    begun |= 1u << strand;
    forward(p, m, &legs[m], &out[m]);
  }
  for (uint32_t m = 0; m < count; m++) {
    if (legs[m].mine) backward(p, m, &legs[m], &out[m]);
  }
  for (uint32_t m = 0; m < count; m++) end_send(p, &out[m], m);
}
