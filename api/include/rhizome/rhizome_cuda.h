/* rhizome_cuda.h: memory of CUDA devices, and streams.  No header of CUDA is needed, and none is included: pointers and streams cross as
 * void *.  The library finds the CUDA driver when it runs; where there is none, everything else works as ever.
 *
 * Buffers   send and recv of every collective of rhizome.h, the v-variants included, and of rhz_send and rhz_recv, may be memory of a device
 *           (cuMemAlloc, cudaMalloc, pools, cuMemMap, managed): the library sees it by itself.  Ranks need not do alike.
 * State     tensors that are registered (rhz_state_register) may be memory of a device too: see rhz_cuda_alloc.
 *           So may those of rhz_digest_tensors, rhz_average_stage and rhz_gradient_norm; the latter two work on copies in the host.
 * Way       through locked memory of the host: from the device, reduced on the way by the CPUs, to the device.  Extra memory there: the
 *           size of what the rank gives and gets, up to twice that; up to 2 GiB of it stay locked for the next op.  At most 256 ops at a
 *           time, messages that are not taken included (RHZ_ERR_STATE).
 * stream    of rhz_allreduce_params, and of the params of collectives and messages: a CUstream or cudaStream_t that is not 0.  The op begins
 *           when what is before it on the stream is done; what is behind it on the stream begins when the op is over and its result in recv.
 *           Buffers in the host's memory keep that order as well.  The call does not block, and rhz_op_wait need not be called before work
 *           that uses the result is queued on the stream.
 *           NULL: no stream's order.  The input must be there at the call (cuStreamSynchronize), and the result is when rhz_op_wait says so.
 *           The default streams have names: RHZ_STREAM_LEGACY and RHZ_STREAM_PER_THREAD, of the thread's current context.
 * Order     of collectives is that of submission, whatever their streams: one that waits for its stream holds up the later ones of its
 *           communicator, and a message that does so the later ones of its channel.
 * Messages  a stream goes on behind rhz_send as soon as the message is copied from memory of the device (a buffer of the host's: when the op is
 *           over), and behind rhz_recv when the message is there.  What a receive on a stream has room for and the message does not fill holds
 *           anything then.  A peer that receives from another and sends to it on one stream does both in one group, or sends first.
 * Groups    what has memory of a device or a stream goes first at rhz_group_end, in its order, and is not fused: where one rank's op does, so
 *           does every rank's, else RHZ_ERR_MISMATCH.  All their inputs are read before any of their streams waits, so that sends and receives
 *           of a group may be on one stream in any order; an op of the group does not see what another one of it received.
 * Failure   the stream goes on behind an op that failed, as soon as it is over: recv then holds anything, and rhz_op_wait (or rhz_op_poll)
 *           tells.  A rebuild happens inside the op: the stream stands until it is over.  An op is over in bounded time: at its timeout_ms at
 *           the latest, or when the communicator is closed.
 * Lost      a device that failed (a sticky error of its context) takes this peer out of the run: its ops end as RHZ_ERR_IO with CUDA's
 *           own words, and the others go on without it.
 * Join      a thread that has chosen its device (cudaSetDevice, and cudaFree(NULL) for its context) before rhz_comm_join has a kernel loaded there, which
 *           waits for all that is queued on the device, whatever timeout_ms says; results of 8 MiB and more then go to the device while the rest is still being made.
 * Close     rhz_comm_close ends open ops, and waits up to 10 s until streams have passed them.
 * Graphs    a stream that is being captured is refused (RHZ_ERR_STATE).
 * Since 1.0. */
#ifndef RHIZOME_RHIZOME_CUDA_H
#define RHIZOME_RHIZOME_CUDA_H

#include <rhizome/rhizome.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RHZ_STREAM_LEGACY ((void *)1)     /* CU_STREAM_LEGACY, cudaStreamLegacy */
#define RHZ_STREAM_PER_THREAD ((void *)2) /* CU_STREAM_PER_THREAD, cudaStreamPerThread */

/* RHZ_OK: the CUDA driver is there.  RHZ_ERR_IO: it is not, or too old; rhz_last_error() says which. */
RHZ_API rhz_status rhz_cuda_available(void);

/* Registers memory of this rank's device together with all other ranks of comm: a collective in the order of comm's ops, which blocks until it
 * has ended.  Each gives a piece of bytes bytes of its own, aligned to 16, of cuMemAlloc or cudaMalloc.  Afterwards all-reduces of sums and averages
 * of f16, bf16, f32 and f64, whose send and recv lie in registered memory, go by kernels over NVLink (or PCIe) from device to device, with
 * rebuild as ever.
 *
 * Needs     all ranks on one host, each with a device of its own, at most 8; a library that was built with CUDA's compiler.
 * Alike     where one rank gives registered memory, all do, of the same registrations at the same offsets: a recv of another registration, or other
 *           offsets, send the op through the host; a send of another one, or memory of one rank that is not registered, ends it as RHZ_ERR_TIMEOUT.
 * Over      an op is, for a rank, when its kernel knows that everybody's result is complete: the stream goes on by itself, and rhz_op_wait returns,
 *           also where another rank is still to hear of it.  Nothing can change that result any more.  Its rhz_op_info has no times.
 * Who dies  is gone; the others go on among themselves.  Newcomers have nothing registered: after an rhz_admit that let somebody in, ops
 *           go through the host until all register again.
 * Memory    stays registered, and must not be freed, until rhz_comm_close has returned on all ranks.  In place costs a copy of the input on the
 *           device.  For a rebuild, as many bytes of the host's memory are locked.
 * timeout_ms   of each of two exchanges; 0: the communicator's op_timeout.
 * Returns   the same on all ranks: RHZ_OK; RHZ_ERR_STATE: it cannot be (rhz_last_error() says why), nothing has changed, and ops go through the
 *           host; as rhz_allgather.   Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_cuda_register(rhz_comm *comm, void *memory, uint64_t bytes, uint32_t timeout_ms);

/* Memory of the device that is the calling thread's (cudaSetDevice), zeroed, for tensors that outlive this process: registered with
 * rhz_state_register, they are kept by the vault of the host as they are, and rhz_state_attach maps them again for the trainer
 * that is started in this one's place, on the same device.  That trainer makes its CUDA context first (cudaFree(NULL)).  Any other use is fine
 * but rhz_cuda_register.  bytes > 0; a multiple of 2 MiB is taken, so cut tensors from few and large pieces.  At most 1024 at a time; freed with
 * rhz_free, which waits for the device, at the latest with rhz_comm_close.
 *
 * Registered  memory of a device of any kind can be, and is digested, snapshotted and restored alike.  In memory of cudaMalloc it outlives its process
 *             too: from rhz_comm_join on, a process of the vault's holds it (a CUDA context on the device), and rhz_state_attach copies it on
 *             the device into memory that it allocates like cudaMalloc, and that is freed as above; so there has to be room for it twice.  What is registered is not freed before rhz_comm_close, nor changed behind
 *             one without rhz_comm_leave.  Where a device does not answer, rhz_comm_join and rhz_state_attach take up to 30 s more.  That of
 *             pools, or mapped by the program (cuMemMap), goes with its process.  Shared ones are synced with joiners through memory of the host, as many bytes on members and joiner, which is given back
 *             behind it.  Checkpoints are written from them, and loaded.  All these calls may return RHZ_ERR_IO then, with CUDA's words.
 * Updates     rhz_state_begin_update before the first kernel that changes a tensor is launched; rhz_state_end_update waits until the device has
 *             done all that is queued on it, and so does rhz_state_commit: what they say is true of bytes that kernels have written.  A trainer that is killed
 *             while its kernels run inside an update leaves a state that is refused, and let go by the vault at that rhz_state_attach, so that its
 *             memory can be had again.  Memory that nobody attaches to stays taken until the slot's next trainer registers, or the vault ends.
 * Snapshots   rhz_snapshot copies beside the program's streams, at the rate of the link, and digests on the device; the first two of a slot also get and lock
 *             the buffers, which takes longer than the copy.  Kernels that write the tensors are launched behind rhz_snapshot_fence, as ever.
 * Returns     RHZ_OK, RHZ_ERR_ARGUMENT, _MEMORY, _STATE (the thread has no context), _IO (no driver, or its own words), _CLOSED.   Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_cuda_alloc(rhz_comm *comm, uint64_t bytes, void **out_memory);

#ifdef __cplusplus
}
#endif
#endif
