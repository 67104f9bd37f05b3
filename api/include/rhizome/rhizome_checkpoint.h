/* Rhizome: checkpoints on disk, written behind training.  Part of rhizome.h, which includes it: the same conventions hold.
 *
 * A checkpoint is a folder of safetensors files, which any reader of that format opens, and a manifest, which comes last.  Each *writer* of
 * the run (one per peer, or fewer) writes a file with the tensors, or the parts of tensors, that it has; whichever writer is the last publishes
 * the manifest.  They need nothing of each other but a folder that all see, and a checkpoint of which one is missing is none: whoever
 * dies at any point leaves the older ones as they are.
 *
 *   step k       rhz_state_commit → rhz_checkpoint → forward, backward, collectives → rhz_checkpoint_fence → update
 *   behind       copy of the tensors (the fence waits for it) → file, fsync → manifest
 *   afterwards   rhz_checkpoint_poll says what became of it
 *
 * Memory: a copy of what this peer writes, until it is written.  Tensors may be memory of a device (rhizome_cuda.h): the copy comes from there, and
 * rhz_checkpoint_load has a copy of one tensor at a time.  The format is in docs/recovery.md.
 */
#ifndef RHIZOME_RHIZOME_CHECKPOINT_H
#define RHIZOME_RHIZOME_CHECKPOINT_H

#include <rhizome/rhizome.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Elements [first, first + count_elems) of a tensor, counted as if it were flat, in this peer's memory.  The same tensor has the same name
 * on every writer and on whoever loads it, on however many peers and stages: "layer-3/attention", rather than "stage-1/weights". */
typedef struct rhz_tensor_slice {
  size_t struct_size;    /* sizeof(rhz_tensor_slice) */
  const char *name;      /* ≤ 127 bytes of UTF-8; of each tensor one slice in a call */
  void *data;            /* count_elems elements; rhz_checkpoint only reads them.  Of a device: the call waits for what is queued there */
  uint64_t first;        /* 0 where dims is 0 */
  uint64_t count_elems;  /* > 0 */
  const uint64_t *shape; /* dims lengths, of the whole tensor */
  uint32_t dims;         /* ≤ 8; 0: one dimension, of which this is all */
  uint32_t dtype;        /* RHZ_DTYPE_* */
} rhz_tensor_slice;

typedef struct rhz_checkpoint_params {
  size_t struct_size;  /* sizeof(rhz_checkpoint_params) */
  const char *folder;  /* that all writers see; made where it is missing, in one that is there.  It belongs to this run */
  uint64_t revision;   /* the committed one; 0: whichever it is */
  const rhz_tensor_slice *slices; /* what this peer has of the state; NULL: the registered tensors that all peers share (not RHZ_TENSOR_OWN), whole */
  uint32_t slice_count;
  uint32_t part, parts; /* which of `parts` parts of each slice this peer writes, as even as can be: the index of this replica of the stage,
                           and how many there are.  parts 0: 1 */
  uint32_t writer, writers; /* which of the checkpoint's writers this is, and how many there are; all say the same number.
                               writers 0: as part and parts */
  uint32_t keep;        /* of complete checkpoints in the folder, so many newest ones stay; 0: all.  That of writer 0 counts */
  uint32_t flags;       /* 0 */
} rhz_checkpoint_params;

/* Begins a checkpoint of the committed revision and returns at once.  The tensors stay as they are until rhz_checkpoint_fence returns; threads of
 * the library copy them, then write, and let collectives go first (they take at most about five times as long beside them).  Every writer
 * calls it at the same place of its program, between the same collectives of the run, all of which were waited for.  One is written
 * at a time; one that only waits for other writers (who died, say) is given up for the next.  A revision that is complete stays as it is: a
 * run that went back behind it and comes by again removes its folder first.
 * rhz_comm_close ends the writing where it is: call rhz_checkpoint_wait before.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _ABI, _CLOSED, _EVICTED, _ISOLATED,
 *           _STATE (not joined, nothing committed, an update is open; collectives have not begun; the one before is still being copied or
 *           written).   Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_checkpoint(rhz_comm *comm, const rhz_checkpoint_params *params);

/* Waits until the tensors may change again, and says how the copying ended: call it before each update.  timeout_ms: 0 waits for ever.
 * Returns   RHZ_OK (also: there is none), RHZ_PENDING, RHZ_ERR_ARGUMENT, _MEMORY, _STATE (the tensors changed meanwhile), _CLOSED. */
RHZ_API RHZ_NODISCARD rhz_status rhz_checkpoint_fence(rhz_comm *comm, uint32_t timeout_ms);

typedef struct rhz_checkpoint_info {
  size_t struct_size; /* sizeof(rhz_checkpoint_info) */
  uint64_t revision;  /* of the newest checkpoint begun here; 0: none was */
  uint64_t bytes;     /* of the tensors in this peer's file */
  uint32_t written;   /* 1: that file is on the disk, for good */
  uint32_t complete;  /* 1: so is everybody's, and the manifest */
} rhz_checkpoint_info;

/* What became of the newest checkpoint: RHZ_OK once it is complete (also: there is none), RHZ_PENDING while it is being copied, or written, or
 * waits for other writers.  wait: timeout_ms 0 waits for ever.  poll does not block.  out_info may be NULL, and is filled in any case.
 * After an error the complete checkpoints are there as before, and the next one may succeed.
 * Returns   RHZ_OK, RHZ_PENDING, RHZ_ERR_ARGUMENT (a name or a shape that the format does not have; or the slices of all writers do not make
 *           the tensors whole: the text says of which), _ABI, as rhz_checkpoint_fence, and
 *           _IO (a full disk, a folder that is not there: with the path and the system's reason),
 *           _RUN_ID (the folder has checkpoints of another run),
 *           _STATE (that revision is complete already; other writers' files are missing, and the next one was begun),
 *           _DIVERGED (writers have the same tensor with other dtypes or shapes, or rhz_state_digest gave them other digests of this
 *           revision), _CORRUPT. */
RHZ_API RHZ_NODISCARD rhz_status rhz_checkpoint_wait(rhz_comm *comm, uint32_t timeout_ms, rhz_checkpoint_info *out_info);
RHZ_API RHZ_NODISCARD rhz_status rhz_checkpoint_poll(rhz_comm *comm, rhz_checkpoint_info *out_info);

typedef struct rhz_checkpoint_load_params {
  size_t struct_size; /* sizeof(rhz_checkpoint_load_params) */
  const char *folder;
  const char *run_id; /* whose it is; NULL: the communicator's */
  uint64_t revision;  /* 0: the newest that can be read */
  const rhz_tensor_slice *slices; /* what to load, and where to; NULL: as in rhz_checkpoint_params */
  uint32_t slice_count;
  uint32_t flags;     /* 0 */
} rhz_checkpoint_load_params;
typedef struct rhz_checkpoint_load_info {
  size_t struct_size; /* sizeof(rhz_checkpoint_load_info) */
  uint64_t revision;  /* that was loaded */
  uint64_t bytes;
  uint32_t skipped;   /* newer checkpoints that cannot be read */
  uint32_t reserved;
  char text[RHZ_TEXT_BYTES]; /* why the newest of these cannot */
} rhz_checkpoint_load_info;

/* Overwrites tensors with those of a checkpoint: any elements of any of its tensors, whoever wrote them.  Before rhz_comm_join, or between two ops of a
 * member: then all members go back to the same revision.  Peers that look for the newest one at different times may find different
 * ones: let one look, and tell the others, or compare.  Blocks; every 256 KiB are checked against their digest.
 * The registered tensors are whole and of that revision afterwards.  With slices, or tensors of RHZ_TENSOR_OWN, the caller says when all is there, by
 * rhz_state_commit with this revision; before that the state is none.
 * After RHZ_ERR_CORRUPT or _IO in the middle the tensors hold no revision; the text names the file, the byte and older checkpoints.
 * out_info may be NULL.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _ABI, _STATE (joining; nothing registered and no slices; the tensors are being copied), _CLOSED, _EVICTED, _ISOLATED,
 *           _STATE_LOST (no complete checkpoint there that can be read), _RUN_ID (they are another run's),
 *           _MISMATCH (no such tensor, or of another dtype or shape, where flat ones match any; nothing was written), _CORRUPT, _IO.   Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_checkpoint_load(rhz_comm *comm, const rhz_checkpoint_load_params *params,
                                                     rhz_checkpoint_load_info *out_info);

#ifdef __cplusplus
}
#endif
#endif /* RHIZOME_RHIZOME_CHECKPOINT_H */
