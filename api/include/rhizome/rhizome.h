/* Rhizome: collective communication that survives its peers.  C99.  This header is the contract: what it does not say is
 * not promised.
 *
 * Structs     carry struct_size; zero means default; they only grow at the end, and bytes beyond what the library knows
 *             must be zero (else RHZ_ERR_ABI).  That holds for out-structs too: set struct_size before the call.
 * Errors      every function returns rhz_status.  rhz_last_error() is the text of this thread's last failed call; what went
 *             wrong with an op is told by that op (rhz_op_info_get), never by the communicator.
 * Threads     every function may be called from any thread unless it says otherwise.
 * Ownership   handles are freed by the function named at their creation; pointers given to the library stay the caller's.
 */
#ifndef RHIZOME_RHIZOME_H
#define RHIZOME_RHIZOME_H

#include <stddef.h>
#include <stdint.h>

#define RHZ_VERSION_MAJOR 1
#define RHZ_VERSION_MINOR 0
#define RHZ_VERSION_PATCH 0

#if defined(RHZ_BUILDING)
#define RHZ_API __attribute__((visibility("default")))
#else
#define RHZ_API
#endif
#if defined(__GNUC__) || defined(__clang__)
#define RHZ_NODISCARD __attribute__((warn_unused_result))
#else
#define RHZ_NODISCARD
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------ status */

/* Numbers are permanent.  The hundreds say who must act. */
typedef int32_t rhz_status;
enum {
  RHZ_OK = 0,
  RHZ_PENDING = 1, /* not an error: the op is still open and its buffers are still borrowed */
  /* 100s: the program must change */
  RHZ_ERR_ARGUMENT = 100,
  RHZ_ERR_ABI = 101,
  RHZ_ERR_STATE = 102,    /* not now: a call after close, a release of a pending op, an op before join */
  RHZ_ERR_MISMATCH = 103, /* ranks submitted different ops: count, dtype, reduction or kind differ.  Of a vault or a checkpoint: it has other tensors */
  RHZ_ERR_OVERLAP = 104,  /* send and recv overlap without being equal */
  /* 200s: the host or the set-up must change */
  RHZ_ERR_MEMORY = 200,
  RHZ_ERR_IO = 201,
  RHZ_ERR_ADDRESS_IN_USE = 202,
  RHZ_ERR_UNREACHABLE = 203, /* no coordinator at that address, or no vault of that name */
  RHZ_ERR_VERSION = 204,     /* another protocol version */
  RHZ_ERR_RUN_ID = 205,      /* the coordinator, or the vault, serves another run */
  RHZ_ERR_WORLD_FULL = 206,  /* all slots are taken */
  RHZ_ERR_CORRUPT = 207,     /* a decision log or a file whose contents cannot be right */
  /* 300s: this op is over; the next one may well succeed */
  RHZ_ERR_PEER_LOST = 300, /* a participant died, and the op cannot go on without it (see rebuild, and each collective) */
  RHZ_ERR_TIMEOUT = 301,
  RHZ_ERR_CANCELLED = 302,
  RHZ_ERR_WORLD_TOO_SMALL = 303, /* the view is smaller than min_world */
  RHZ_ERR_STATE_LOST = 304, /* too much is lost for this source of a stage's state; the text names the stage and the next source */
  /* 400s: leave this communicator, and join again as a new peer */
  RHZ_ERR_EVICTED = 400,
  RHZ_ERR_ISOLATED = 401, /* the coordinator was out of reach for too long while it was needed */
  RHZ_ERR_DIVERGED = 402, /* this peer's state, or a result, differs from the others' */
  RHZ_ERR_CLOSED = 403,   /* the communicator was left or closed while the op was open */
  /* 500s: a bug in this library */
  RHZ_ERR_INTERNAL = 500
};

/* One line of English for a status; never NULL. */
RHZ_API const char *rhz_status_text(rhz_status status);
/* Text of this thread's last failed call: what was wrong and what to do.  Valid until the thread's next call; never NULL. */
RHZ_API const char *rhz_last_error(void);
/* Version, compiler, kernels, transports; one "key=value" per line.  Static storage. */
RHZ_API const char *rhz_build_info(void);

/* ------------------------------------------------------------------------------------------------ communicator */

typedef struct rhz_comm rhz_comm;
typedef struct rhz_op rhz_op;
typedef struct rhz_coordinator rhz_coordinator;
typedef struct rhz_shadow rhz_shadow; /* rhizome_shadow.h */

#define RHZ_ANY_SLOT 0u /* rhz_comm_params.slot_plus_one */

typedef struct rhz_comm_params {
  size_t struct_size;      /* sizeof(rhz_comm_params) */
  const char *coordinator; /* "HOST:PORT" or "[V6]:PORT"; NULL: $RHZ_COORDINATOR */
  const char *run_id;      /* NULL: $RHZ_RUN_ID, else "default".  A peer of another run is refused */
  const char *listen;      /* "ADDR" or "ADDR:PORT" for data; NULL: $RHZ_LISTEN, else the address that reaches the coordinator */
  const char *advertise;   /* address that others connect to; NULL: $RHZ_ADVERTISE, else the listening one */
  uint32_t slot_plus_one;  /* 1 + the slot asked for; 0: $RHZ_SLOT, else any vacant one */
  uint32_t op_timeout_ms;  /* an op begun by some but not all is failed on every rank after this; 0: 600 000 */
  uint32_t isolation_ms;   /* a peer that needs the coordinator and cannot reach it resigns after this; 0: 60 000 */
  uint32_t reserved;       /* 0 */
} rhz_comm_params;

/* Creates a communicator: parses the parameters, opens the data port, starts the progress thread.  Nothing is joined yet,
 * so that state can be registered first.  The caller owns *out_comm and frees it with rhz_comm_close.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _ABI, _MEMORY, _IO, _ADDRESS_IN_USE. */
RHZ_API RHZ_NODISCARD rhz_status rhz_comm_create(const rhz_comm_params *params, rhz_comm **out_comm);

/* Joins the run and blocks until this peer is a member.  Founders wait for the expected world size; a later joiner waits
 * for the members to reach rhz_admit, and its registered state (and revision) equals theirs when this returns.  Its first op
 * is the one that the members submit after that rhz_admit: rhz_view.joined tells a program that it entered there.
 * timeout_ms: 0 waits for ever.  After an error other than RHZ_PENDING the communicator is of no further use: close it.
 * Returns   RHZ_OK, RHZ_PENDING (timed out; call again), RHZ_ERR_STATE, _UNREACHABLE, _VERSION, _RUN_ID, _WORLD_FULL,
 *           _DIVERGED (the registered tensors do not match the members' ones), _EVICTED. */
RHZ_API RHZ_NODISCARD rhz_status rhz_comm_join(rhz_comm *comm, uint32_t timeout_ms);

/* Leaves in good order: from now on no op is taken (RHZ_ERR_STATE), open ops are drained (each ends as if this peer stayed,
 * within timeout_ms; 0: 5 000), then peers are told GOODBYE and the others get a new view.  Afterwards only rhz_comm_close and the op functions are of use.
 * Returns   RHZ_OK, RHZ_ERR_STATE, _TIMEOUT (ops were still open and ended as RHZ_ERR_CLOSED). */
RHZ_API RHZ_NODISCARD rhz_status rhz_comm_leave(rhz_comm *comm, uint32_t timeout_ms);

/* Ends open ops with RHZ_ERR_CLOSED, stops the progress thread and frees the communicator.  Op handles that the caller still
 * owns stay valid until rhz_op_release.  Without rhz_comm_leave before it, the others see this peer as lost.  Of a
 * sub-communicator: see rhz_comm_split.  NULL: no-op. */
RHZ_API void rhz_comm_close(rhz_comm *comm);

#define RHZ_SPLIT_NONE (-1) /* rhz_split_params.colour: this rank gets no communicator */

typedef struct rhz_split_params {
  size_t struct_size;  /* sizeof(rhz_split_params) */
  int32_t colour;      /* >= 0: ranks that give the same one get a communicator; RHZ_SPLIT_NONE */
  int32_t key;         /* order of the ranks in it; of equal keys, the order in comm */
  uint32_t timeout_ms; /* 0: the communicator's op_timeout; at expiry it fails on every rank alike */
  uint32_t reserved;   /* 0 */
} rhz_split_params;

/* Splits comm by colour: a collective in the order of comm's ops, which blocks until it has ended.  All of comm's ranks see the same
 * status.  The caller owns *out_comm (NULL for RHZ_SPLIT_NONE) and frees it with rhz_comm_close.
 *
 * A sub-communicator has ranks, a world size and op numbers of its own; it shares the epoch, slots, connections and threads with the
 * communicator that joined the run, and ends with it.  Ops of several communicators run at the same time, and none waits for another's;
 * the order of submission matters within each only.
 *   deaths   who dies is gone from all sub-communicators too; the others keep theirs, with the ranks closed up (rhz_comm_view)
 *   joins    who enters later is in none.  After rhz_op_info.joined of an rhz_admit, or a new world size, all split again
 *   close    rhz_comm_close does not leave the run, and does not block.  Ops that are open end as RHZ_ERR_CLOSED on all ranks of the
 *            sub-communicator, or well where they were complete; their buffers are borrowed until they have.  So do ops that others
 *            submit to it later.  It counts as open until all its ranks have closed it
 *   rhz_comm_view, rhz_state_verify and all collectives but rhz_admit   are about its ranks.  rhz_collective_params.root_slot is a
 *            slot of the run, as ever; that of a rank which is not in the sub-communicator ends the op as RHZ_ERR_PEER_LOST
 *   rhz_comm_publish, rhz_alloc, rhz_free, rhz_state_*   are about the peer and its run, whichever of its communicators is given; what
 *            rhz_alloc gave out is good in all of them
 *   rhz_comm_join, rhz_comm_leave, rhz_admit   RHZ_ERR_STATE
 *   min_world, isolation, eviction   are the run's
 * Limit: 64 sub-communicators open per peer.  A rank that has none left makes the split RHZ_ERR_STATE on every rank.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _ABI, _STATE, _TIMEOUT, _MISMATCH, _WORLD_TOO_SMALL, _EVICTED, _ISOLATED, _CLOSED.   Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_comm_split(rhz_comm *comm, const rhz_split_params *params, rhz_comm **out_comm);

/* The agreed membership.  Rank: position in the view.  Slot: the stable place in the job. */
typedef struct rhz_view {
  size_t struct_size; /* sizeof(rhz_view) */
  uint64_t epoch;     /* grows with every view */
  uint32_t rank;      /* 0 … world_size-1 */
  uint32_t world_size;
  uint32_t slot;
  uint32_t joined; /* 1: this peer entered a run that had already begun, behind the members' rhz_admit, and was synced */
  uint64_t revision; /* revision of the registered state that the run last agreed on; 0: none */
} rhz_view;
/* The view installed now; may change between any two ops, never inside one.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _ABI, _STATE (not a member). */
RHZ_API RHZ_NODISCARD rhz_status rhz_comm_view(rhz_comm *comm, rhz_view *out_view);

#define RHZ_NAME_BYTES 24
#define RHZ_COSTS_UNKNOWN UINT64_MAX

/* What algorithms are chosen by: the worst of what the ranks measured, and how long each should take by it. */
typedef struct rhz_costs {
  size_t struct_size;          /* sizeof(rhz_costs) */
  uint64_t measured_by_op;     /* number of the op by which the ranks told each other; RHZ_COSTS_UNKNOWN: not yet, the rest but chosen is 0 */
  uint64_t local_latency_ns;   /* between ranks of a host, one way; 0: none was measured */
  uint64_t local_bytes_per_s;
  uint64_t remote_latency_ns;  /* between hosts */
  uint64_t remote_bytes_per_s;
  uint64_t reduce_bytes_per_s;
  uint64_t predicted_ns[6];    /* ring, direct, doubling, halving, tree, hierarchical; 0: not known, or not taken for that size */
  char chosen[RHZ_NAME_BYTES]; /* by an all-reduce of that size without RHZ_ALGORITHM */
} rhz_costs;
/* About an all-reduce of so many bytes on comm, if it were submitted now; blocks for no other rank.   Since 1.0.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _ABI, _STATE. */
RHZ_API RHZ_NODISCARD rhz_status rhz_comm_costs(rhz_comm *comm, uint64_t bytes, rhz_costs *out_costs);

/* Publishes a number of the caller's (step, loss, …) that `rhizome status` shows for this peer.  name: ≤ 23 bytes; ≤ 8 names.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT. */
RHZ_API rhz_status rhz_comm_publish(rhz_comm *comm, const char *name, double value);

/* ------------------------------------------------------------------------------------------------ collectives */

enum {
  RHZ_DTYPE_I8 = 1,
  RHZ_DTYPE_U8 = 2,
  RHZ_DTYPE_I16 = 3,
  RHZ_DTYPE_U16 = 4,
  RHZ_DTYPE_I32 = 5,
  RHZ_DTYPE_U32 = 6,
  RHZ_DTYPE_I64 = 7,
  RHZ_DTYPE_U64 = 8,
  RHZ_DTYPE_F16 = 9,
  RHZ_DTYPE_BF16 = 10,
  RHZ_DTYPE_F32 = 11,
  RHZ_DTYPE_F64 = 12
};
enum {
  RHZ_REDOP_DEFAULT = 0, /* sum */
  RHZ_REDOP_SUM = 1,     /* integers wrap */
  RHZ_REDOP_AVG = 2,     /* divisor: the contributors of the chunk; integers truncate toward zero */
  RHZ_REDOP_PROD = 3,
  RHZ_REDOP_MIN = 4, /* of floats: NaN if any input is NaN */
  RHZ_REDOP_MAX = 5,
  RHZ_REDOP_BAND = 6, /* bitwise: integers only */
  RHZ_REDOP_BOR = 7,
  RHZ_REDOP_BXOR = 8
};
/* What becomes of an op in flight when a participant dies. */
enum {
  RHZ_REBUILD_DEFAULT = 0, /* keep for averages, strict otherwise */
  RHZ_REBUILD_STRICT = 1,  /* one set of contributors for the whole result */
  RHZ_REBUILD_KEEP = 2,    /* finished chunks keep the dead peer's contribution; the rest is reduced without it */
  RHZ_REBUILD_FAIL = 3,    /* the op ends with RHZ_ERR_PEER_LOST on every survivor, unless it was already complete */
  RHZ_REBUILD_INCLUDE = 4  /* as keep, and the dead count wherever their contribution had left them: sums under way go on
                              from whoever has most of them.  All-reduces on the ring (what auto takes in this mode above 16 KiB);
                              elsewhere, and round broken edges, as keep.  For long ops over slow links */
};

/* Memory that peers on the same host reduce from, and copy from, without a detour: for send and recv buffers of large ops, used as any
 * other.  bytes > 0; page aligned, zeroed.  At most 1024 pieces at a time; freed with rhz_free, at the latest with rhz_comm_close.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _MEMORY, _STATE, _CLOSED. */
RHZ_API RHZ_NODISCARD rhz_status rhz_alloc(rhz_comm *comm, size_t bytes, void **out_memory);
/* Frees memory of rhz_alloc, or rhz_cuda_alloc, that no open op uses.  NULL: no-op.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT (this communicator did not give it out), _STATE. */
RHZ_API rhz_status rhz_free(rhz_comm *comm, void *memory);

typedef struct rhz_allreduce_params {
  size_t struct_size;   /* sizeof(rhz_allreduce_params) */
  const void *send;     /* count_elems elements; NULL: in place */
  void *recv;           /* count_elems elements; equal to or disjoint from send */
  uint64_t count_elems; /* same on every rank; 0 is legal; ≤ 2^40 */
  uint32_t dtype;       /* RHZ_DTYPE_*, required */
  uint32_t redop;       /* RHZ_REDOP_*; 0: sum */
  uint32_t rebuild;     /* RHZ_REBUILD_*; 0: keep for averages, strict otherwise */
  uint32_t timeout_ms;  /* 0: the communicator's op_timeout; at expiry the op aborts on every rank alike */
  void *stream;         /* rhizome_cuda.h; NULL: none */
} rhz_allreduce_params;

/* Submits recv[i] = redop over the ranks of the view of send[i].
 *
 * Order     every rank submits the same ops in the same order.
 * Memory    send and recv stay borrowed until the op is terminal.  Extra memory: ≤ 64 MiB, and the size of the op more when
 *           it is strict and in place.
 * Outcome   one per op: every survivor sees RHZ_OK with the same bits, or every survivor sees the same error.
 * Threads   any; does not block.   Since 1.0.
 * Returns   RHZ_OK (the caller owns *out_op, frees it with rhz_op_release), RHZ_ERR_ARGUMENT, _ABI, _OVERLAP, _MEMORY, _STATE,
 *           _EVICTED, _ISOLATED, _CLOSED. */
RHZ_API RHZ_NODISCARD rhz_status rhz_allreduce(rhz_comm *comm, const rhz_allreduce_params *params, rhz_op **out_op);

/* The other collectives.  A block is count_elems elements; "all blocks" are world_size of them, by rank.
 *
 *                        send                       recv
 *   rhz_broadcast        root: a block              all but the root: a block
 *   rhz_reduce           a block                    root: a block
 *   rhz_allgather        a block                    all blocks
 *   rhz_reduce_scatter   all blocks                 the own block
 *   rhz_gather           a block                    root: all blocks
 *   rhz_scatter          root: all blocks           a block
 *   rhz_alltoall         all blocks, by receiver    all blocks, by sender
 *
 * What a rank neither gives nor gets may be NULL.  In place: send NULL (broadcast and reduce: it is in recv; allgather: the own block
 * lies in its place in recv), reduce_scatter: recv NULL (the result takes the place of the own block in send). */
typedef struct rhz_collective_params {
  size_t struct_size; /* sizeof(rhz_collective_params) */
  const void *send;
  void *recv;
  uint64_t count_elems; /* of a block; same on every rank; 0 is legal; all blocks: <= 2^40 */
  uint32_t dtype;       /* RHZ_DTYPE_*, required */
  uint32_t redop;       /* reduce and reduce_scatter: RHZ_REDOP_*; 0: sum */
  uint32_t rebuild;     /* RHZ_REBUILD_*; 0: keep for averages, strict otherwise */
  uint32_t timeout_ms;  /* 0: the communicator's op_timeout */
  uint32_t root_slot;   /* broadcast, reduce, gather, scatter: the slot (rhz_view) of the root */
  uint32_t world_size;  /* allgather, reduce_scatter, gather, scatter, alltoall: for how many ranks the buffers are */
  void *stream;         /* rhizome_cuda.h; NULL: none */
} rhz_collective_params;

/* After a death during the op
 *   broadcast, scatter   end well if the root lives, or if all that is missing is held by somebody; else RHZ_ERR_PEER_LOST everywhere
 *   reduce, gather       RHZ_ERR_PEER_LOST if the root died without the result
 *   a dead rank's block  (gather, allgather, alltoall) in mode strict RHZ_ERR_PEER_LOST, in mode keep zeros: its elements have no
 *                        contributors (rhz_op_contributors)
 *   reduce, reduce_scatter   as rhz_allreduce; what a dead rank would have got is dropped
 * A world_size other than that of the view in which the op begins ends it as RHZ_ERR_PEER_LOST on every rank.
 * Order, memory, outcome, threads, returns: as rhz_allreduce.  Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_broadcast(rhz_comm *comm, const rhz_collective_params *params, rhz_op **out_op);
RHZ_API RHZ_NODISCARD rhz_status rhz_reduce(rhz_comm *comm, const rhz_collective_params *params, rhz_op **out_op);
RHZ_API RHZ_NODISCARD rhz_status rhz_allgather(rhz_comm *comm, const rhz_collective_params *params, rhz_op **out_op);
RHZ_API RHZ_NODISCARD rhz_status rhz_reduce_scatter(rhz_comm *comm, const rhz_collective_params *params, rhz_op **out_op);
RHZ_API RHZ_NODISCARD rhz_status rhz_gather(rhz_comm *comm, const rhz_collective_params *params, rhz_op **out_op);
RHZ_API RHZ_NODISCARD rhz_status rhz_scatter(rhz_comm *comm, const rhz_collective_params *params, rhz_op **out_op);
RHZ_API RHZ_NODISCARD rhz_status rhz_alltoall(rhz_comm *comm, const rhz_collective_params *params, rhz_op **out_op);

/* The v-variants: blocks of different sizes.  Block r is that for, or from, rank r; it begins displs[r] elements into the buffer (displs NULL:
 * one block behind the other).
 *
 *                         send, counts on every rank               recv
 *   rhz_allgatherv        the own block                            all blocks: recv_counts, recv_displs
 *   rhz_gatherv           the own block                            root: all blocks; recv_counts on every rank, recv_displs on the root
 *   rhz_scatterv          root: all blocks, send_displs;           the own block
 *                         send_counts on every rank
 *   rhz_reduce_scatterv   all blocks: send_counts, send_displs     the own block
 *   rhz_alltoallv         by receiver: send_counts, send_displs    by sender: recv_counts, recv_displs
 *
 * Counts    belong to the op: all ranks give the same, but of rhz_alltoallv, where each knows its own.  Its ranks tell each other first (one small
 *           rhz_allgather more, which has a number of its own, and which later ops wait for); where rank a gives rank b another count than b
 *           expects, the op ends as RHZ_ERR_MISMATCH on every rank.  All blocks: <= 2^40 elements; all are cut like the
 *           largest one, so that very different sizes cost empty frames.
 * Buffers   what lies between blocks is not touched.  Blocks that are received must not overlap (RHZ_ERR_OVERLAP).  In place: as rhz_allgather and
 *           rhz_reduce_scatter.
 * Ranks     a view in which this peer has another rank than at the submission ends the op as RHZ_ERR_PEER_LOST on every rank.
 * Contributors   elements are those of the blocks that this rank gets, by rank, without what lies between. */
typedef struct rhz_vcollective_params {
  size_t struct_size; /* sizeof(rhz_vcollective_params) */
  const void *send;
  void *recv;
  const uint64_t *send_counts, *send_displs; /* world_size elements each, read before the call returns */
  const uint64_t *recv_counts, *recv_displs;
  uint32_t dtype, redop, rebuild, timeout_ms, root_slot, world_size; /* as in rhz_collective_params */
  void *stream;
} rhz_vcollective_params;

/* Otherwise as their likes above.  Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_allgatherv(rhz_comm *comm, const rhz_vcollective_params *params, rhz_op **out_op);
RHZ_API RHZ_NODISCARD rhz_status rhz_gatherv(rhz_comm *comm, const rhz_vcollective_params *params, rhz_op **out_op);
RHZ_API RHZ_NODISCARD rhz_status rhz_scatterv(rhz_comm *comm, const rhz_vcollective_params *params, rhz_op **out_op);
RHZ_API RHZ_NODISCARD rhz_status rhz_reduce_scatterv(rhz_comm *comm, const rhz_vcollective_params *params, rhz_op **out_op);
RHZ_API RHZ_NODISCARD rhz_status rhz_alltoallv(rhz_comm *comm, const rhz_vcollective_params *params, rhz_op **out_op);

/* Submits a barrier: terminal once every rank of the view has submitted it.  Otherwise as rhz_allreduce. */
RHZ_API RHZ_NODISCARD rhz_status rhz_barrier(rhz_comm *comm, rhz_op **out_op);

/* Submits the boundary at which joiners enter: an ordered op, submitted by every rank like the others.  Costs one small
 * all-reduce when nobody waits.  When peers wait, the members serve them their registered state (which must not change while the
 * op is open), and the op ends with a view that holds them.  Call it once a step, between the optimizer and the next one.
 * Returns   as rhz_allreduce. */
RHZ_API RHZ_NODISCARD rhz_status rhz_admit(rhz_comm *comm, rhz_op **out_op);

/* ------------------------------------------------------------------------------------------------ send and receive */

typedef struct rhz_message_params {
  size_t struct_size; /* sizeof(rhz_message_params) */
  const void *send;   /* rhz_send: the message */
  void *recv;         /* rhz_recv: room for it; rhz_op_info.bytes tells how long the message was */
  uint64_t bytes;     /* of the message, or of the room; 0 is legal; <= 2^40 */
  uint64_t tag;       /* of the channel */
  uint32_t peer_slot; /* the other side, by its slot (rhz_view), which stays when ranks change; the own one is legal */
  uint32_t timeout_ms; /* since the submission; 0: the communicator's op_timeout */
  void *stream;        /* rhizome_cuda.h; NULL: none */
} rhz_message_params;

/* Submits the sending of a message, or the receiving of one.  They are between two peers: others take no part, and they need not be
 * submitted in the order of collectives, nor wait for any.
 *
 * Order     a channel is (sender, receiver, tag): its messages and its receives go together in the order of their submission.
 *           Messages of other tags, and messages without a receive, wait and stop nobody.
 * Memory    send and recv stay borrowed until the op is terminal.  A message of at most 16 KiB is copied and its send returns at
 *           once, as long as what its receiver has not taken is less than 1 MiB; other sends return when they were taken, and are kept
 *           by nobody.  RHZ_WAIT_FINAL waits until a send was taken.  At most 16 384 are open or not taken at a time (RHZ_ERR_STATE).
 *           All communicators of a run share its channels: slots and tags mean the same on a sub-communicator.
 * Outcome   of either side by itself.  A send that ends with RHZ_OK and is final was taken by its receive, which may have refused it.
 *   message longer than the room   the receive: RHZ_ERR_MISMATCH, with both sizes; the message is gone, the send is RHZ_OK
 *   the other side goes            RHZ_ERR_PEER_LOST for all that is open, with the view without it.  A send that ends so may have arrived.
 *                                  A newcomer in its slot is another peer: it gets nothing that was meant for that one
 *   the slot is vacant             RHZ_ERR_PEER_LOST
 *   time-out, rhz_op_cancel        end this side alone, as RHZ_ERR_TIMEOUT or _CANCELLED.  A receive that ends so before its message began
 *                                  to come took nothing, and the next one takes its turn; nor is a message taken that was withdrawn before
 *                                  its receive began.  In the middle, the message is gone: the sender of a receive that ends so gets
 *                                  RHZ_OK, the receiver of a send that ends so the same error, or all of the message
 *   view changes of others         are survived: what was not taken is sent again
 *   the two do not reach each other, and both are members   the message waits until they do, or for its time-out
 * rhz_comm_leave waits until all that was sent is taken.
 * Threads   any; does not block.   Since 1.0.
 * Returns   as rhz_allreduce. */
RHZ_API RHZ_NODISCARD rhz_status rhz_send(rhz_comm *comm, const rhz_message_params *params, rhz_op **out_op);
RHZ_API RHZ_NODISCARD rhz_status rhz_recv(rhz_comm *comm, const rhz_message_params *params, rhz_op **out_op);

/* ------------------------------------------------------------------------------------------------ several at once */

/* What this thread submits between the two is taken in together at the end: one taking of the communicator, one wake-up.  The names are
 * NCCL's; a group of *peers* is something else.  Calls in between return at once with their op, which is not submitted before the end:
 * rhz_op_wait on it is RHZ_ERR_STATE until then, rhz_op_poll says RHZ_PENDING.  Pairs may be nested: the outermost end counts.  Sends and
 * receives of a group cannot wait for each other's submission.  At most 16 384 ops; of several communicators, if you like.
 *
 * Fusing    all-reduces of at most 64 KiB with the same dtype, redop and rebuild mode become one op on the wire, of at most 256 KiB; other
 *           collectives between them end that, and nothing overtakes those.  Each keeps its own rhz_op and outcome, which is that of
 *           the whole: so are the bytes and times in its rhz_op_info but for `bytes`, its time-out is the longest one, and a cancel of one
 *           cancels all.  send is read before rhz_group_end returns and stays borrowed like recv.  Every rank submits
 *           the same ops in the same order in the same groups; else RHZ_ERR_MISMATCH on every rank.
 * Close     of a communicator inside: its ops of the group end as RHZ_ERR_CLOSED.  A thread that ends inside a group submits nothing of it
 *           (RHZ_ERR_CANCELLED).
 * Returns   begin: RHZ_OK.  End: RHZ_OK, RHZ_ERR_STATE (no begin); or why the first of those ops that could not be submitted
 *           was not, as rhz_allreduce: it has ended with this status, and the others go on.  Since 1.0. */
RHZ_API rhz_status rhz_group_begin(void);
RHZ_API RHZ_NODISCARD rhz_status rhz_group_end(void);

/* ------------------------------------------------------------------------------------------------ ops */

enum {
  RHZ_WAIT_DEFAULT = 0,
  RHZ_WAIT_FINAL = 1 /* also wait until no later fault can give another survivor a different result: for callers with side effects */
};
/* Waits until the op is terminal and returns its outcome.  timeout_ms: 0 waits for ever; at expiry returns RHZ_PENDING and the op
 * stays open with its buffers borrowed.  Progress is made on the calling thread while it waits.  Of a failed op,
 * rhz_last_error() and rhz_op_info.text tell the same.
 * Returns   the op's outcome, RHZ_PENDING, RHZ_ERR_ARGUMENT. */
RHZ_API RHZ_NODISCARD rhz_status rhz_op_wait(rhz_op *op, uint32_t timeout_ms, uint32_t flags);
/* The op's outcome, or RHZ_PENDING; does not block. */
RHZ_API RHZ_NODISCARD rhz_status rhz_op_poll(rhz_op *op);
/* A file descriptor that becomes readable once the op is terminal; owned by the op.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _IO. */
RHZ_API RHZ_NODISCARD rhz_status rhz_op_event_fd(rhz_op *op, int *out_fd);
/* Asks for the op to end as RHZ_ERR_CANCELLED on every rank alike.  Where it was complete already it ends as RHZ_OK, and the
 * first later op that can still be ended alike everywhere is cancelled instead: a cancel reaches every rank.
 * Returns   RHZ_OK (asked for, or already terminal), RHZ_ERR_ARGUMENT. */
RHZ_API rhz_status rhz_op_cancel(rhz_op *op);
/* Frees the handle.  Returns RHZ_OK; RHZ_ERR_STATE while the op is pending (it stays open).  NULL: RHZ_OK. */
RHZ_API rhz_status rhz_op_release(rhz_op *op);

#define RHZ_TEXT_BYTES 192
typedef struct rhz_op_info {
  size_t struct_size; /* sizeof(rhz_op_info) */
  uint64_t op_seq;    /* number of the op in its group, where some numbers are the runtime's own; of a message: among those of its sender to its receiver */
  uint64_t first_epoch, last_epoch; /* views in which it was begun and ended */
  uint64_t bytes;                   /* size of the result */
  uint64_t sent_bytes, received_bytes, redone_bytes; /* payload; redone: of chunks begun again after a rebuild */
  uint64_t held_bytes;  /* bytes of the result that this peer held at the last seal */
  uint64_t wait_us;     /* submitted → begun */
  uint64_t run_us;      /* begun → own result full, rebuilds included */
  uint64_t rebuild_us;  /* seals → installs */
  uint64_t release_us;  /* own result full → terminal */
  uint32_t rebuilds;    /* installs that touched it */
  uint32_t contributors_min, contributors_max; /* over the chunks of the result */
  uint32_t joined;      /* rhz_admit: peers that entered */
  rhz_status status;    /* outcome, or RHZ_PENDING */
  uint32_t culprit_slot_plus_one; /* 0: nobody in particular */
  char text[RHZ_TEXT_BYTES];      /* of a failure: what was wrong, who, what to do */
  char algorithm[RHZ_NAME_BYTES]; /* by which it was begun: "ring", "direct", …; what a rebuild redoes goes by the ring */
} rhz_op_info;
/* Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _ABI. */
RHZ_API RHZ_NODISCARD rhz_status rhz_op_info_get(rhz_op *op, rhz_op_info *out_info);

/* Contributors of one element of the own result, by its chunk: fills slots[0 … *inout_count) in rising order and sets *inout_count to their number
 * (also when the array is too small: RHZ_ERR_ARGUMENT).  Only of an op that ended with RHZ_OK.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _STATE. */
RHZ_API RHZ_NODISCARD rhz_status rhz_op_contributors(rhz_op *op, uint64_t element, uint32_t *slots, uint32_t *inout_count);

/* ------------------------------------------------------------------------------------------------ state */

enum {
  RHZ_TENSOR_SHARED = 0, /* equal on all peers: a joiner gets it from the members */
  RHZ_TENSOR_OWN = 1     /* of this peer's part of the model, such as a stage of a pipeline: kept in the vault, in snapshots and in rhz_state_digest
                          * like any other, but neither synced nor compared.  With such tensors a joiner's state is a revision only when it
                          * has brought them there and called rhz_state_commit, with whichever revision that is */
};
/* Named tensors that a joiner must have to be a member.  Every peer registers the same set of shared ones (name, dtype, count) before
 * rhz_comm_join.  The bytes may change except while rhz_admit or rhz_state_verify is open. */
typedef struct rhz_tensor {
  size_t struct_size;   /* sizeof(rhz_tensor) */
  const char *name;     /* ≤ 127 bytes, unique */
  void *data;           /* count_elems elements; borrowed until rhz_comm_close */
  uint64_t count_elems; /* > 0 */
  uint32_t dtype;       /* RHZ_DTYPE_* */
  uint32_t flags;       /* RHZ_TENSOR_* */
} rhz_tensor;
/* Returns   RHZ_OK, RHZ_ERR_ARGUMENT (also: name taken), _ABI, _STATE (already joined). */
RHZ_API RHZ_NODISCARD rhz_status rhz_state_register(rhz_comm *comm, const rhz_tensor *tensor);

/* Declares that the registered tensors now hold this revision: one more than the last (any number the first time), after
 * every optimizer step, behind rhz_state_end_update where updates are marked (rhizome_state.h).  A joiner goes on from the members' revision; joining before their first commit is legal (revision 0).
 * Cheap: digests are computed only when somebody needs them.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT (not last + 1), _STATE (also: an update is open), _EVICTED, _ISOLATED. */
RHZ_API RHZ_NODISCARD rhz_status rhz_state_commit(rhz_comm *comm, uint64_t revision);

/* Root digest of the registered tensors as they are now: XXH3-128 of 256 KiB blocks, of the block digests of each tensor, of the
 * tensors in the order of their names.  Computed on the calling thread; the caller must not change them meanwhile. */
RHZ_API RHZ_NODISCARD rhz_status rhz_state_digest(rhz_comm *comm, uint8_t out_digest[16]);

/* Submits an op that compares every rank's root digest: RHZ_OK when all are equal, else RHZ_ERR_DIVERGED on every rank.
 * Returns   as rhz_allreduce. */
RHZ_API RHZ_NODISCARD rhz_status rhz_state_verify(rhz_comm *comm, rhz_op **out_op);

/* ------------------------------------------------------------------------------------------------ embedded coordinator */

/* Whether ranks compare their results of collectives that give all of them the same: a digest travels with the word that an op is
 * complete.  A difference ends the op as RHZ_ERR_DIVERGED on every rank; where it was found only after the op had returned (results up to
 * RHZ_RETAIN_BYTES), the communicator ends so, on every rank that took part, before it returns another op. */
enum {
  RHZ_VERIFY_DEFAULT = 0, /* $RHZ_VERIFY, else sampled */
  RHZ_VERIFY_OFF = 1,
  RHZ_VERIFY_SAMPLED = 2, /* one page of 4 KiB in sixteen, others in each op */
  RHZ_VERIFY_ALL = 3      /* every byte */
};

/* Off: what libraries without protection do, to be measured against.  Of all-reduce, barrier, all-gather, reduce-scatter and all-to-all nothing
 * is kept for a death: no originals, no copies of results; they return when the own result is there and what this rank has to send was taken,
 * without a word from the others, and are not verified.  A rank that is in the middle of such an op when the view changes (somebody died or
 * left, or the ring was laid anew) may see it end as RHZ_ERR_PEER_LOST, whatever its rebuild mode, where others have it with RHZ_OK:
 * "one outcome per op" does not hold, nor is RHZ_WAIT_FINAL of use.  An op that ends with RHZ_OK is right.  The communicator goes on: every
 * rank submits the next op, also after such an error.  A connection that breaks and is made anew may cost an op its time-out.
 * Other ops are as ever. */
enum {
  RHZ_PROTECTION_DEFAULT = 0, /* $RHZ_PROTECTION, else on */
  RHZ_PROTECTION_ON = 1,
  RHZ_PROTECTION_OFF = 2
};

typedef struct rhz_coordinator_params {
  size_t struct_size; /* sizeof(rhz_coordinator_params) */
  const char *listen; /* "HOST:PORT"; port 0: any free one; NULL: "127.0.0.1:0" */
  const char *run_id; /* NULL: "default" */
  const char *log;    /* path of the decision log; NULL: in memory (a restart loses the run) */
  uint32_t world;     /* peers that the first view waits for, ≥ 1 */
  uint32_t max_world; /* slots; 0: world */
  uint32_t min_world; /* a smaller view fails all ops but rhz_admit, by which it grows again; 0: 1 */
  uint32_t suspicion_ms; /* silence that makes a peer suspect; 0: 1 000 */
  uint32_t verify;       /* RHZ_VERIFY_*, of the whole run */
  uint32_t protection;   /* RHZ_PROTECTION_*, of the whole run */
} rhz_coordinator_params;
/* Runs a coordinator on a thread of this process; with a log that exists, it goes on where that one ended.
 * Returns   RHZ_OK (the caller owns *out, frees it with rhz_coordinator_stop), RHZ_ERR_ARGUMENT, _ABI, _ADDRESS_IN_USE, _IO,
 *           _CORRUPT, _RUN_ID (the log is another run's). */
RHZ_API RHZ_NODISCARD rhz_status rhz_coordinator_start(const rhz_coordinator_params *params, rhz_coordinator **out);
/* "HOST:PORT" that it listens on; valid until it is stopped. */
RHZ_API const char *rhz_coordinator_address(const rhz_coordinator *coordinator);
RHZ_API void rhz_coordinator_stop(rhz_coordinator *coordinator);

#ifdef __cplusplus
}
#endif

#include <rhizome/rhizome_checkpoint.h> /* checkpoints on disk */
#include <rhizome/rhizome_plan.h>       /* the planner, asked without acting */
#include <rhizome/rhizome_shadow.h>     /* the shadow of a stage */
#include <rhizome/rhizome_stages.h>     /* stages of a pipeline that stand in for each other */
#include <rhizome/rhizome_state.h>      /* attach, snapshots, restore */
#endif /* RHIZOME_RHIZOME_H */
