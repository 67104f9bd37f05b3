/* Calls of the library, as the files of this trainer make them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pipeline.h"

rhz_status note_error(pipeline *p, rhz_status status, const char *what) {
  snprintf(p->error, sizeof(p->error), "%s", what);
  return status;
}

rhz_status finish_op(pipeline *p, rhz_status submitted, rhz_op *op, uint32_t wait_flags,
                     rhz_op_info *info) {
  rhz_status outcome = kit_finish_op(submitted, op, wait_flags, info, p->error);
  if (outcome != RHZ_OK) p->failed_ops++;
  return outcome;
}

rhz_status commit(pipeline *p) { return kit_commit(p->comm, p->progress[STEP] + 1, p->error); }

rhz_allreduce_params sum_of(void *data, uint64_t count, uint32_t dtype) {
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
