// rhizome.h, section "collectives": checks, and translation to an OpSpec.
#include "api/src/abi.h"
#include "api/src/collective_params.h"
#include "api/src/handles.h"
#include "api/src/submit.h"

namespace {

using rhz::Code;
using rhz::OpKind;
using rhz::OpSpec;
using rhz::Status;
using rhz::api::find_root;
using rhz::api::guard;
using rhz::api::kMostRanks;
using rhz::api::kMostSlots;
using rhz::api::submit;
using rhz::api::to_spec;
using rhz::reduce::Dtype;
using rhz::reduce::RedOp;

// Of `given` and `got` bytes that this rank gives and gets.
Status check_buffers(const OpSpec& spec, uint64_t given, uint64_t got) {
  if (given == 0 && got == 0) return Status::ok();
  if (got > 0 && !spec.recv)
    return Status(Code::kArgument, "recv is NULL, and count_elems is not 0");
  const auto send = reinterpret_cast<uintptr_t>(spec.send);
  const auto recv = reinterpret_cast<uintptr_t>(spec.recv);
  if (send > UINTPTR_MAX - given || recv > UINTPTR_MAX - got)
    return Status(Code::kArgument, "count_elems reaches past the end of the address space");
  const bool disjoint = given == 0 || got == 0 || send + given <= recv || recv + got <= send;
  if (send != recv && !disjoint)
    return Status(Code::kOverlap,
                  "send and recv overlap; make them equal (or send NULL) for an "
                  "in-place op, or disjoint");
  return Status::ok();
}

Status to_allreduce(const rhz_allreduce_params& p, OpSpec& spec) {
  if (Status s = to_spec(p, 1, spec); !s) return s;
  if (!spec.send) spec.send = spec.recv;
  const uint64_t bytes = spec.count * rhz::reduce::size_of(spec.dtype);
  return check_buffers(spec, bytes, bytes);
}

Status need(const void* buffer, const char* name, uint64_t bytes) {
  if (buffer || bytes == 0) return Status::ok();
  return Status(Code::kArgument, std::string(name) + " is NULL, and this rank needs it");
}

// What this rank gives and gets has to be there.
Status check_sides(OpSpec& spec, bool is_root) {
  const uint64_t block = spec.count * rhz::reduce::size_of(spec.dtype), all = block * spec.ranks;
  uint64_t given = block, got = block;
  switch (spec.kind) {
    case OpKind::kBroadcast: (is_root ? got : given) = 0; break;
    case OpKind::kReduce: got = is_root ? block : 0; break;
    case OpKind::kAllGather: got = all; break;
    case OpKind::kReduceScatter: given = all; break;
    case OpKind::kGather: got = is_root ? all : 0; break;
    case OpKind::kScatter: given = is_root ? all : 0; break;
    default: given = got = all;
  }
  const bool in_place = spec.kind == OpKind::kBroadcast || spec.kind == OpKind::kReduce;
  if (in_place && given > 0 && !spec.send) spec.send = spec.recv;
  if (spec.kind == OpKind::kAllGather && !spec.send) return need(spec.recv, "recv", got);
  if (spec.kind == OpKind::kReduceScatter && !spec.recv) return need(spec.send, "send", given);
  if (Status s = need(spec.send, "send", given); !s) return s;
  if (Status s = need(spec.recv, "recv", got); !s) return s;
  if (given == 0) spec.send = nullptr;
  if (got == 0 && spec.kind != OpKind::kBroadcast) spec.recv = nullptr;
  if (!in_place && given > 0 && spec.send == spec.recv)
    return Status(Code::kOverlap,
                  "send and recv are equal; see rhizome.h for how this collective works in place");
  return check_buffers(spec, given, got);
}

rhz_status submit_collective(OpKind kind, rhz_comm* comm, const rhz_collective_params* params,
                             rhz_op** out_op) {
  return guard([&]() -> Status {
    const auto group = rhz::api::find_group(comm);
    if (!group) return group.status();
    rhz_collective_params p{};
    if (Status s = rhz::api::read_struct(params, "rhz_collective_params", p); !s) return s;
    OpSpec spec;
    spec.kind = kind;
    if (has_layout(kind)) {
      if (p.world_size == 0 || p.world_size > kMostRanks)
        return Status(Code::kArgument,
                      "world_size " + std::to_string(p.world_size) +
                          ": set it to the number of ranks that the buffers have room for");
      spec.ranks = p.world_size;
    }
    if (Status s = to_spec(p, uint64_t{std::max(1u, spec.ranks)} * std::max(1u, spec.ranks), spec);
        !s)
      return s;
    bool is_root = false;
    if (has_root(kind)) {
      if (p.root_slot >= kMostSlots)
        return Status(Code::kArgument, "root_slot " + std::to_string(p.root_slot) + " is no slot");
      spec.root = rhz::Slot(p.root_slot);
      is_root = group.value().driver->slot() == spec.root;
    }
    if (Status s = check_sides(spec, is_root); !s) return s;
    return submit(group.value(), spec, p.stream, out_op);
  });
}

rhz_status submit_plain(rhz_comm* comm, const OpSpec& spec, rhz_op** out_op) {
  return guard([&]() -> Status {
    const auto group = rhz::api::find_group(comm);
    if (!group) return group.status();
    return submit(group.value(), spec, nullptr, out_op);
  });
}

}  // namespace

extern "C" {

RHZ_API rhz_status rhz_allreduce(rhz_comm* comm, const rhz_allreduce_params* params,
                                 rhz_op** out_op) {
  return guard([&]() -> Status {
    const auto group = rhz::api::find_group(comm);
    if (!group) return group.status();
    rhz_allreduce_params known{};
    if (Status s = rhz::api::read_struct(params, "rhz_allreduce_params", known); !s) return s;
    OpSpec spec;
    if (Status s = to_allreduce(known, spec); !s) return s;
    return submit(group.value(), spec, known.stream, out_op);
  });
}

RHZ_API rhz_status rhz_broadcast(rhz_comm* comm, const rhz_collective_params* params,
                                 rhz_op** out_op) {
  return submit_collective(OpKind::kBroadcast, comm, params, out_op);
}
RHZ_API rhz_status rhz_reduce(rhz_comm* comm, const rhz_collective_params* params,
                              rhz_op** out_op) {
  return submit_collective(OpKind::kReduce, comm, params, out_op);
}
RHZ_API rhz_status rhz_allgather(rhz_comm* comm, const rhz_collective_params* params,
                                 rhz_op** out_op) {
  return submit_collective(OpKind::kAllGather, comm, params, out_op);
}
RHZ_API rhz_status rhz_reduce_scatter(rhz_comm* comm, const rhz_collective_params* params,
                                      rhz_op** out_op) {
  return submit_collective(OpKind::kReduceScatter, comm, params, out_op);
}
RHZ_API rhz_status rhz_gather(rhz_comm* comm, const rhz_collective_params* params,
                              rhz_op** out_op) {
  return submit_collective(OpKind::kGather, comm, params, out_op);
}
RHZ_API rhz_status rhz_scatter(rhz_comm* comm, const rhz_collective_params* params,
                               rhz_op** out_op) {
  return submit_collective(OpKind::kScatter, comm, params, out_op);
}
RHZ_API rhz_status rhz_alltoall(rhz_comm* comm, const rhz_collective_params* params,
                                rhz_op** out_op) {
  return submit_collective(OpKind::kAllToAll, comm, params, out_op);
}

RHZ_API rhz_status rhz_barrier(rhz_comm* comm, rhz_op** out_op) {
  OpSpec spec;
  spec.kind = OpKind::kBarrier;
  return submit_plain(comm, spec, out_op);
}

RHZ_API rhz_status rhz_admit(rhz_comm* comm, rhz_op** out_op) {
  if (auto root = find_root(comm, "peers enter the run, by the communicator that joined it"); !root)
    return rhz::api::report(root.status());
  OpSpec spec;
  spec.kind = OpKind::kProbe;
  spec.dtype = Dtype::u32;
  spec.redop = RedOp::max;
  spec.count = 1;
  return submit_plain(comm, spec, out_op);
}

RHZ_API rhz_status rhz_state_verify(rhz_comm* comm, rhz_op** out_op) {
  OpSpec spec;
  spec.kind = OpKind::kVerify;
  spec.dtype = Dtype::u64;
  spec.redop = RedOp::min;
  spec.count = 4;
  return submit_plain(comm, spec, out_op);
}
}
