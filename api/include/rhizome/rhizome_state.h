/* Rhizome: registered state that outlives its process.  Part of rhizome.h, which includes it: the same conventions hold.
 *
 * A *vault* (`rhizome vault`, or `rhizome run --vault`) is a process beside the trainers of a host.  RHZ_VAULT names it to them.  It
 * holds, for each slot,
 *
 *   the state itself   tensors that lie in memory of rhz_alloc are the vault's memory too: a trainer that dies leaves them as they are, and the
 *                      one that is started again attaches to them.  No copy is made, ever, but of memory of cudaMalloc (rhizome_cuda.h)
 *   two snapshots      copies of an older revision, for a death inside an update
 *
 * and both go when the vault ends.  Without a vault there is no attach, and snapshots lie in the trainer's own memory: they serve to go back to
 * a revision, and survive no process.  What a vault does not answer within 2 s is RHZ_ERR_TIMEOUT or _UNREACHABLE; training goes on
 * without it, and a vault that is started again is given the state with the next rhz_snapshot or rhz_comm_join.
 *
 * A trainer that is started again asks one source after the other, as long as it gets an error:
 *
 *   rhz_comm_create → rhz_state_attach, and rhz_state_register what it gave
 *                   → or memory of its own, rhz_state_register, rhz_restore (from shards, when the host's vault has nothing)
 *                   → or the same with rhz_restore_shards, for another slot's stage
 *                   → or the same, and rhz_checkpoint_load (rhizome_checkpoint.h)
 *                   → or what it was given at its first start
 *   → rhz_comm_join, by which it gets from the members whatever differs
 */
#ifndef RHIZOME_RHIZOME_STATE_H
#define RHIZOME_RHIZOME_STATE_H

#include <rhizome/rhizome.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------ whole or not */

/* Around every change of the registered tensors, from the first byte to the last: who dies in between leaves tensors that are no revision, and
 * attach knows it.  rhz_state_commit follows behind the end, and until then the state is no revision either.  A program that never
 * calls them is not attached to.  Two stores; by one thread at a time, and not while rhz_comm_join runs.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _STATE (open already, none open; begin: a snapshot is being copied, see rhz_snapshot_fence). */
RHZ_API RHZ_NODISCARD rhz_status rhz_state_begin_update(rhz_comm *comm);
RHZ_API RHZ_NODISCARD rhz_status rhz_state_end_update(rhz_comm *comm);

/* The tensors are about to become those of another revision than the next one: a copy from another peer, a mean of neighbours, what attach
 * gave and the run has gone back to.  They hold none until rhz_state_commit, which may name any revision this time.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _STATE (a snapshot is being copied).   Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_state_replace(rhz_comm *comm);

/* ------------------------------------------------------------------------------------------------ attach */

enum {
  RHZ_ATTACH_DEFAULT = 0,
  RHZ_ATTACH_UNCHECKED = 1 /* compare no digest: milliseconds for any size, but the death of a host's memory goes unseen */
};
typedef struct rhz_attach_params {
  size_t struct_size;    /* sizeof(rhz_attach_params) */
  rhz_tensor *tensors;   /* all that the trainer had registered, in any order: name, dtype, count_elems; data is filled in */
  uint32_t tensor_count; /* > 0 */
  uint32_t flags;        /* RHZ_ATTACH_* */
  uint64_t revision;     /* the only one wanted; 0: whichever is there */
} rhz_attach_params;
typedef struct rhz_attach_info {
  size_t struct_size; /* sizeof(rhz_attach_info) */
  uint64_t revision;  /* that the tensors hold; the next commit is one more */
  uint64_t bytes;     /* of all tensors */
  uint32_t verified;  /* 1: the bytes have the digest that rhz_state_digest had taken of this revision; 0: none was taken, or unchecked */
  uint32_t reserved;
} rhz_attach_info;

/* Gives a trainer the tensors of the one that had its slot before it, at their old contents: sets the data of each in params->tensors.  They are
 * memory of rhz_alloc, or of a device (rhizome_cuda.h), from then on (rhz_free, or rhz_comm_close at the latest), and are registered like any other.  Before
 * rhz_comm_join, once, with a slot asked for (slot_plus_one or RHZ_SLOT).  Waits up to 2 s for the end of a trainer that was killed just now.
 * After an error nothing is mapped, what the vault holds stays (but memory of a device that holds no revision: it is let go), and the text names the next source.
 * out_info may be NULL.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _ABI, _MEMORY, _CLOSED,
 *           _STATE (joined already, no slot; or the slot's trainer still lives),
 *           _STATE_LOST (no vault, nothing kept; the trainer died inside an update, or before the commit behind it; another revision; the
 *           bytes do not have their digest), _MISMATCH (other names, dtypes or counts are kept),
 *           _UNREACHABLE, _TIMEOUT, _RUN_ID, _VERSION, _CORRUPT.   Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_state_attach(rhz_comm *comm, const rhz_attach_params *params, rhz_attach_info *out_info);

/* ------------------------------------------------------------------------------------------------ snapshots */

enum {
  RHZ_SNAPSHOT_DEFAULT = 0,
  RHZ_SNAPSHOT_HOLD = 1 /* it counts from rhz_snapshot_seal on, and not by itself: for a generation that has parts elsewhere */
};
typedef struct rhz_snapshot_params {
  size_t struct_size; /* sizeof(rhz_snapshot_params) */
  uint64_t revision;  /* the committed one; 0: whichever it is */
  uint32_t part;      /* which of `parts` parts of each tensor, as even as can be: the index of this replica of the stage */
  uint32_t parts;     /* replicas of the stage; 0: 1 */
  uint32_t flags;     /* RHZ_SNAPSHOT_* */
  uint32_t reserved;  /* 0 */
} rhz_snapshot_params;

/* Begins a snapshot of the registered tensors and returns at once; a thread of the library copies them in pieces of 1 MiB, with a digest for every
 * 256 KiB, and lets collectives go first (it takes at most about five times as long beside them).  The tensors stay as they are until
 * rhz_snapshot_fence returns.  The slot has two buffers in its vault: the newest complete snapshot is never written over, so that a
 * death at any point leaves one.  Memory: twice the part.  params NULL: all of the tensors.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _ABI, _STATE (not joined, nothing committed, an update or another snapshot is open), _CLOSED.
 *           Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_snapshot(rhz_comm *comm, const rhz_snapshot_params *params);

/* Waits until the tensors may change again, and returns what became of the newest snapshot: call it before each update.  The older one is
 * still there after an error.  timeout_ms: 0 waits for ever.
 * Returns   RHZ_OK (also: there is none), RHZ_PENDING, RHZ_ERR_ARGUMENT, _MEMORY (the vault's limit, or the system's: the text says which),
 *           _STATE (the tensors changed meanwhile), _UNREACHABLE, _TIMEOUT, _RUN_ID, _VERSION, _IO, _CLOSED. */
RHZ_API RHZ_NODISCARD rhz_status rhz_snapshot_fence(rhz_comm *comm, uint32_t timeout_ms);

/* Makes the snapshot of this revision, taken with RHZ_SNAPSHOT_HOLD, the newest complete one.  A snapshot that begins before that
 * takes its place.  Waits like rhz_snapshot_fence.
 * Returns   as rhz_snapshot_fence; RHZ_ERR_ARGUMENT also: none of this revision is held. */
RHZ_API RHZ_NODISCARD rhz_status rhz_snapshot_seal(rhz_comm *comm, uint64_t revision);

enum {
  RHZ_RESTORE_DEFAULT = 0,
  RHZ_RESTORE_UNCHECKED = 1 /* compare no digests */
};
typedef struct rhz_restore_params {
  size_t struct_size; /* sizeof(rhz_restore_params) */
  uint64_t revision;  /* 0: the newest complete snapshot */
  uint32_t flags;     /* RHZ_RESTORE_* */
  uint32_t reserved;  /* 0 */
} rhz_restore_params;
typedef struct rhz_restore_info {
  size_t struct_size; /* sizeof(rhz_restore_info) */
  uint64_t revision;  /* of the snapshot */
  uint64_t bytes;     /* that were written */
  uint32_t part, parts; /* parts > 1: only this part of each tensor was */
} rhz_restore_info;

/* Revisions of the slot's complete snapshots, the newest first: fills revisions[0 … *inout_count) and sets *inout_count to their number, at most 2
 * (also when the array is too small: RHZ_ERR_ARGUMENT).
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _STATE (no slot), _UNREACHABLE, _TIMEOUT, _RUN_ID, _VERSION.   Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_snapshot_list(rhz_comm *comm, uint64_t *revisions, uint32_t *inout_count);

/* Overwrites the registered tensors with the slot's snapshot.  Before rhz_comm_join (with a slot asked for), or between two ops of a member: then all
 * members go back to the same revision, and a newer snapshot is forgotten.  Afterwards the state is whole and of that revision; with parts > 1 the caller gets the other
 * parts from the other replicas first, and declares the whole by rhz_state_commit.  params and out_info may be NULL.  Where the host's vault has none, or does
 * not answer, goes on to the shards of the slot's stage, as rhz_restore_shards.  After RHZ_ERR_CORRUPT or _IO the tensors hold no revision.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _ABI, _STATE (no slot, nothing registered, joining, a snapshot is being copied),
 *           _STATE_LOST (no snapshot, or none of that revision, and no shards: the text says both), _MISMATCH (of other tensors; nothing is written), _CORRUPT, _UNREACHABLE,
 *           _TIMEOUT, _RUN_ID, _VERSION, _IO, _MEMORY, _EVICTED, _ISOLATED, _CLOSED.   Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_restore(rhz_comm *comm, const rhz_restore_params *params, rhz_restore_info *out_info);

/* ------------------------------------------------------------------------------------------------ shards with parity
 *
 * A *stage* is a part of the model whose state its trainers (replicas) all hold.  Protected, it is k data and m parity shards of each stripe in the
 * vaults of other hosts (`rhizome vault --coordinator`, `rhizome run --vault`), no more than m of a stripe on one host or in one rack: any m
 * hosts may die, trainers and vaults, and its state comes back bit for bit.  The decision log says which revision is protected and where it lies; a
 * newer one counts from its record on; the one before stays until the next one begins to be written, so that a run can go back to it while another of
 * its stages has no newer one.  When vaults are lost, what they held of the newest one is rebuilt at once and placed
 * elsewhere, by the stage's *keeper*: the member in the lowest of its slots, or in the lowest slot of all while it has none.
 */

typedef struct rhz_protect_params {
  size_t struct_size;     /* sizeof(rhz_protect_params) */
  uint64_t revision;      /* of a complete snapshot of this slot, newer than what is protected; 0: the newest one */
  uint32_t stage;         /* below 4096 */
  uint32_t first_slot;    /* the stage's slots: first_slot, first_slot + slot_stride, …, slot_count of them; the same in all calls for */
  uint32_t slot_count;    /* the stage, by whomever.  slot_count 0: all slots of the run, which all hold one state */
  uint32_t slot_stride;   /* 0: 1 */
  uint32_t data_shards;   /* k; 0: RHZ_SHARDS, else 4 */
  uint32_t parity_shards; /* m; 0: RHZ_SHARDS, else 2; k + m <= 256 */
} rhz_protect_params;

/* Protects a snapshot, and returns at once.  All trainers of the stage call it, each behind its own rhz_snapshot of the revision (whole, not a part of
 * parts); the keeper does it, the others have nothing to do.  A thread of the library waits for the snapshot's end, copies it, codes it and sends it, and
 * lets collectives go first (it takes at most about five times as long beside them).  Memory: once the state at the keeper until it is over; (k + m) / k of
 * the state in the vaults, twice that while a newer revision replaces an older one.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT (also: this slot is none of the stage's), _ABI, _STATE (not joined, or a revision is still being protected),
 *           _EVICTED, _ISOLATED, _CLOSED.   Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_protect(rhz_comm *comm, const rhz_protect_params *params);

/* Waits until nothing is being protected here, and returns what became of the newest rhz_protect: RHZ_OK once it is in the decision log, or where somebody
 * else keeps the stage.  After an error the older generation is still there.  timeout_ms: 0 waits for ever.
 * Returns   RHZ_OK (also: there was none), RHZ_PENDING, RHZ_ERR_ARGUMENT (too few hosts or racks with vaults for k + m: the text says how many it takes; a
 *           part of a snapshot; a revision that is not newer; the stage has other slots), _STATE_LOST (no snapshot of the revision), _MEMORY, _STATE
 *           (newer snapshots took its place before it was copied; somebody else became the keeper), _DIVERGED (the revision is protected with
 *           another content), _UNREACHABLE, _TIMEOUT, _CORRUPT, _CLOSED.   Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_protect_fence(rhz_comm *comm, uint32_t timeout_ms);

typedef struct rhz_generation_info {
  size_t struct_size; /* sizeof(rhz_generation_info) */
  uint64_t revision;  /* that is protected */
  uint64_t bytes;     /* of the state */
  uint32_t placement; /* 0: as it was protected; one more each time lost shards were placed elsewhere */
  uint32_t data_shards, parity_shards; /* k and m */
  uint32_t lost;      /* of the weakest stripe: shards that nobody holds any more */
  uint32_t stands;    /* … and any so many further hosts may die; 0 also where more than m are lost already: see lost */
  uint32_t lost_before;     /* as lost, of … */
  uint64_t revision_before; /* the revision before, whose shards are there until a newer one than `revision` begins to be written; 0: none */
} rhz_generation_info;

/* What this member knows of a stage's protection, without asking anybody.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _ABI, _STATE_LOST (nothing is protected, as far as it knows), _CLOSED.   Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_generation(rhz_comm *comm, uint32_t stage, rhz_generation_info *out_info);

typedef struct rhz_restore_shards_params {
  size_t struct_size; /* sizeof(rhz_restore_shards_params) */
  uint64_t revision;  /* the only one wanted, which may be the one before; 0: the newest protected one */
  uint32_t stage;
  uint32_t flags;     /* RHZ_RESTORE_* */
} rhz_restore_shards_params;

/* As rhz_restore, out of the shards of a protected stage and of nothing else.  No slot is needed, and the stage may be another slot's.  Asks the
 * coordinator what is protected and where, reads any k shards of each stripe from several vaults at once, and rebuilds what is lost; every byte has
 * matched a digest in the decision log.  Waits up to 10 s for the coordinator, 5 s for a vault, then goes on without it.  Memory: once the state more
 * until it returns.  out_info may be NULL; its parts is 1.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _ABI, _STATE (nothing registered, joining, a snapshot is being copied),
 *           _STATE_LOST (nothing is protected, or another revision, or more than m shards of a stripe are lost: the text names the stage and the next
 *           source), _MISMATCH (of other tensors; nothing is written), _CORRUPT, _UNREACHABLE, _RUN_ID, _VERSION, _IO, _MEMORY, _EVICTED,
 *           _ISOLATED, _CLOSED.   Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_restore_shards(rhz_comm *comm, const rhz_restore_shards_params *params, rhz_restore_info *out_info);

/* ------------------------------------------------------------------------------------------------ sync of joiners */

/* Whose state a joiner gets where the members' differ, and who sends it.  PCCL's strategies, under its names. */
enum {
  RHZ_SYNC_POPULAR = 0,      /* enforce-popular, the default: a joiner takes the state that most members hold; a member has a vote and serves */
  RHZ_SYNC_RECEIVE_ONLY = 1, /* takes only: as a member it has no vote, and its state is sent to nobody */
  RHZ_SYNC_SEND_ONLY = 2     /* gives only: while there is such a member, its state is the one that counts.  As a joiner it takes no
                                byte: it enters where it holds the members' state already, as after rhz_state_attach or rhz_restore */
};

/* Before rhz_comm_join; the newest call counts.  What cannot be is an error of the joiner, from rhz_comm_join, and harms no member:
 *   every member is receive-only, so that nobody sends                  RHZ_ERR_STATE
 *   members that are send-only hold different states                    RHZ_ERR_DIVERGED
 *   a joiner that is send-only holds another state than the members     RHZ_ERR_DIVERGED, with the first tensor that differs
 * Members that hold another state than the one that counts keep it, and serve nobody: rhz_state_verify finds them.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT (no such strategy), _STATE (joining already), _CLOSED.   Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_sync_strategy(rhz_comm *comm, uint32_t strategy);

/* A joiner that follows.  Where every step changes all of the state, what was pulled in bulk is of no use by the time it is here, unless the joiner makes
 * the steps since that the members have made: they record what each update was computed from (the reduced gradient, and whatever else the rule takes
 * besides the state), and it applies the same rule.
 *
 *   a member, behind each all-reduce of gradients, once it is certain that the step counts:
 *       rhz_sync_record(comm, revision + 1, gradient, bytes);  update;  rhz_state_commit(comm, revision + 1);  …  rhz_admit
 *   a joiner, before rhz_comm_join:
 *       rhz_sync_follow(comm, update, context)
 *
 * Nothing rests on it: a joiner enters only with the bytes of the revision that the members have (by their digests), and pulls the blocks that differ
 * from them, whatever the reason.  So a rule that rounds otherwise here and there costs time, and nothing else. */

/* The rule: makes `revision` of the registered tensors, as rhz_update does of a shadow's.  Called inside rhz_comm_join, on its thread, for one
 * revision after the other; 0: done; else the joiner pulls what differs.  It calls nothing of the library for comm.  rhz_comm_join has to be called again
 * soon where it returned RHZ_PENDING: members wait up to 2 s for the next update to be applied.  NULL: does not follow, the default.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _STATE (joining already), _CLOSED.   Since 1.0. */
typedef int (*rhz_sync_update)(uint64_t revision, const void *update, uint64_t bytes, void *context);
RHZ_API RHZ_NODISCARD rhz_status rhz_sync_follow(rhz_comm *comm, rhz_sync_update update, void *context);

/* What makes `revision`, the one that is committed next.  Costs a copy of the bytes while somebody may pull (from the rhz_admit at which a newcomer's copy was taken
 * until nobody has asked for 10 s), else nothing.  Equal on all members, and recorded by all who have no other strategy than RHZ_SYNC_POPULAR or _SEND_ONLY.  A
 * revision that is left out, or more than twice the state's bytes since the copy, ends the recording for that newcomer, who then pulls the difference.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _EVICTED, _ISOLATED, _CLOSED.   Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_sync_record(rhz_comm *comm, uint64_t revision, const void *update, uint64_t bytes);

/* What syncs took.  A joiner with RHZ_SYNC_BULK_BYTES of state or more first pulls a revision in bulk, from copies that the members take
 * at one rhz_admit, while they train; at a later one it gets what differs by then, and the members wait for that. */
typedef struct rhz_sync_info {
  size_t struct_size; /* sizeof(rhz_sync_info) */
  /* this peer as a joiner */
  uint64_t bulk_bytes;  /* pulled while the members trained; 0: none */
  uint64_t bulk_us;     /* … and how long that took */
  uint64_t rest_bytes;  /* pulled while they waited */
  uint64_t rest_us;
  uint64_t equal_bytes; /* needed no pull by then */
  uint32_t donors_lost; /* that died, closed, or sent other bytes, in both pulls */
  /* this peer as a member */
  uint32_t copies;       /* of its state, taken for joiners */
  uint64_t pause_us;     /* how long it stood at its newest rhz_admit at which somebody waited: digests, copy, and the joiners' rest */
  uint64_t served_bytes; /* sent to joiners */
  /* this peer as a joiner that follows (rhz_sync_follow) */
  uint64_t updates;      /* applied since the revision that it pulled in bulk */
  uint64_t update_bytes; /* pulled for that */
} rhz_sync_info;
/* Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _ABI, _STATE.   Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_sync_info_get(rhz_comm *comm, rhz_sync_info *out_info);

#ifdef __cplusplus
}
#endif
#endif /* RHIZOME_RHIZOME_STATE_H */
