/* The end of a step: which micro-batches count, and whether everybody has what the update needs. */
#include <inttypes.h>
#include <string.h>

#include "pipeline.h"

static uint32_t strand_of(const pipeline *p, uint64_t micro_batch) {
  return (uint32_t)(micro_batch % p->replicas);
}

static int counts(const pipeline *p, uint64_t micro_batch) {
  return (int)(p->strands >> strand_of(p, micro_batch) & 1);
}

uint64_t counted(const pipeline *p) {
  uint64_t count = 0;
  for (uint64_t m = 0; m < p->options->micro_batches; m++) count += (uint64_t)counts(p, m);
  return count;
}

/* What the strands that count gave here.  The shares stay: a death may take one of them back. */
static void add_shares(pipeline *p) {
  lm_real *sum = p->state.gradient;
  uint32_t added = 0; /* strands */
  for (uint64_t m = 0; m < p->options->micro_batches; m++) {
    const uint32_t strand = strand_of(p, m);
    const lm_real *share = p->shares[strand];
    if (!counts(p, m) || !p->mine[m] || added >> strand & 1) continue;
    if (!added) memcpy(sum, share, p->state.count * sizeof(*sum));
    for (size_t i = 0; i < p->state.count && added; i++) sum[i] += share[i];
    added |= 1u << strand;
  }
  if (!added) memset(sum, 0, p->state.count * sizeof(*sum));
}

/* Each part's gradient, over those who have it.  0: not from everybody who shares in the step. */
static int sum_gradients(pipeline *p) {
  rhz_op *ops[LM_PARTS] = {NULL};
  rhz_status submitted[LM_PARTS];
  uint32_t slots[MAX_SLOTS];
  int complete = 1;
  add_shares(p);
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
  double against, losses[MAX_MICRO_BATCHES];
  double voters[MAX_SLOTS];  /* 1 for who votes */
  double legs[MAX_REPLICAS]; /* of each strand: ways of a micro-batch through a stage, done */
} ballot;

static int has_done_what_counts(const pipeline *p) {
  int done = 1;
  for (uint64_t m = 0; m < p->options->micro_batches; m++)
    done = done && (p->done[m] || !p->mine[m] || !counts(p, m));
  return done;
}

static rhz_status vote(pipeline *p, int complete, ballot *b) {
  rhz_op *op = NULL;
  rhz_op_info info;
  rhz_allreduce_params params = sum_of(b, sizeof(*b) / sizeof(double), RHZ_DTYPE_F64);
  memset(b, 0, sizeof(*b));
  b->against = complete ? 0 : 1;
  b->voters[p->view.slot] = 1;
  for (uint64_t m = 0; m < p->options->micro_batches; m++) {
    if (!counts(p, m)) continue;
    b->losses[m] = p->losses[m];
    b->legs[strand_of(p, m)] += p->mine[m] && p->done[m];
  }
  /* The last step is followed by a digest on stdout, which nobody can take back. */
  int is_last = p->progress[STEP] + 1 == p->options->steps;
  rhz_status submitted = rhz_allreduce(p->comm, &params, &op);
  return finish_op(p, submitted, op, is_last ? RHZ_WAIT_FINAL : RHZ_WAIT_DEFAULT, &info);
}

/* Of which all legs are done by those who vote: so each stage is among these. */
static uint32_t whole_strands(const pipeline *p, const ballot *b) {
  double all[MAX_REPLICAS] = {0};
  uint32_t whole = 0;
  for (uint64_t m = 0; m < p->options->micro_batches; m++) all[strand_of(p, m)] += p->stages;
  for (uint32_t strand = 0; strand < p->replicas; strand++)
    if (b->legs[strand] == all[strand]) whole |= 1u << strand;
  return whole;
}

/* Behind a vote that was lost: of the peers those stay who voted, and of the strands those that are
 * whole among them.  All have one ballot, so all drop the same.  0: the step cannot be saved so. */
static int drop_lost(pipeline *p, const ballot *b) {
  const uint32_t before = p->strands;
  int fewer = 0;
  if (p->options->policy == POLICY_REPLAY) return 0;
  p->strands &= whole_strands(p, b);
  for (uint32_t slot = 0; slot < p->slots; slot++) {
    if (!is_here(p, slot) || b->voters[slot] > 0) continue;
    strike_off(p, slot);
    fewer = 1;
  }
  return counted(p) > 0 && (fewer || p->strands != before);
}

rhz_status settle_step(pipeline *p, double *loss) {
  ballot b;
  p->strands = (1u << p->replicas) - 1;
  /* Each further round has lost a peer or a strand. */
  for (uint32_t round = 0; round <= p->slots + p->replicas; round++) {
    int complete = has_done_what_counts(p);
    complete = sum_gradients(p) && complete; /* in any case: others of a group wait for it */
    complete = exchange_gradients(p, complete, round) && complete;
    rhz_status status = vote(p, complete, &b);
    if (status != RHZ_OK) return status;
    /* All that are left have what the update needs, and so has everybody else. */
    if (b.against == 0 && (p->strands & ~whole_strands(p, &b)) == 0) {
      *loss = 0;
      for (uint64_t m = 0; m < p->options->micro_batches; m++) *loss += b.losses[m];
      *loss /= (double)counted(p);
      return RHZ_OK;
    }
    if (!drop_lost(p, &b)) break;
  }
  return note_error(p, RHZ_ERR_PEER_LOST, "a peer died in this step");
}
