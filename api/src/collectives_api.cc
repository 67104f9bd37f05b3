// rhizome.h, section "collectives": checks, and translation to an OpSpec.
#include "api/src/abi.h"
#include "api/src/handles.h"
#include "api/src/op_handle.h"
#include "runtime/digest/digest.h"

namespace {

using rhz::Code;
using rhz::OpKind;
using rhz::OpSpec;
using rhz::Status;
using rhz::api::guard;
using rhz::reduce::Dtype;
using rhz::reduce::RedOp;

Status submit(std::shared_ptr<rhz::PeerDriver> driver, OpSpec spec, rhz_op** out_op) {
  if (!out_op) return Status(Code::kArgument, "out_op is NULL");
  *out_op = nullptr;
  if (spec.timeout == rhz::Duration::zero()) spec.timeout = driver->op_timeout();
  if (spec.kind == OpKind::kAllReduce) spec.algorithm = driver->algorithm();
  auto* op = new rhz_op(driver);
  if (spec.kind == OpKind::kVerify) {
    const rhz::Digest digest = driver->digest();
    std::memcpy(op->verify_send.data(), digest.data(), digest.size());
    op->verify_send[2] = ~op->verify_send[0];
    op->verify_send[3] = ~op->verify_send[1];
    spec.send = reinterpret_cast<const std::byte*>(op->verify_send.data());
    spec.recv = reinterpret_cast<std::byte*>(op->verify_recv.data());
  }
  if (Status status = op->submit(spec); !status) {
    op->discard();
    return status;
  }
  *out_op = op;
  return Status::ok();
}

Status check_buffers(const OpSpec& spec, uint64_t bytes) {
  if (bytes == 0) return Status::ok();
  if (!spec.recv) return Status(Code::kArgument, "recv is NULL, and count_elems is not 0");
  const auto send = reinterpret_cast<uintptr_t>(spec.send);
  const auto recv = reinterpret_cast<uintptr_t>(spec.recv);
  if (send > UINTPTR_MAX - bytes || recv > UINTPTR_MAX - bytes)
    return Status(Code::kArgument, "count_elems reaches past the end of the address space");
  const bool disjoint = send + bytes <= recv || recv + bytes <= send;
  if (send != recv && !disjoint)
    return Status(Code::kOverlap, "send and recv overlap; make them equal (or send NULL) for an "
                                  "in-place op, or disjoint");
  return Status::ok();
}

Status to_spec(const rhz_allreduce_params& p, OpSpec& spec) {
  const uint32_t redop = p.redop == RHZ_REDOP_DEFAULT ? uint32_t{RHZ_REDOP_SUM} : p.redop;
  if (!rhz::reduce::valid_dtype(p.dtype))
    return Status(Code::kArgument, "dtype " + std::to_string(p.dtype) + " is none of RHZ_DTYPE_*");
  if (!rhz::reduce::valid_redop(redop))
    return Status(Code::kArgument, "redop " + std::to_string(redop) + " is none of RHZ_REDOP_*");
  spec.dtype = static_cast<Dtype>(p.dtype);
  spec.redop = static_cast<RedOp>(redop);
  if (!rhz::reduce::valid(spec.dtype, spec.redop))
    return Status(Code::kArgument, std::string("the bitwise reduction ") +
                                       rhz::reduce::name(spec.redop) + " is not defined for " +
                                       rhz::reduce::name(spec.dtype));
  if (p.rebuild > RHZ_REBUILD_FAIL)
    return Status(Code::kArgument, "rebuild " + std::to_string(p.rebuild) + " is none of RHZ_REBUILD_*");
  spec.rebuild = p.rebuild != RHZ_REBUILD_DEFAULT ? static_cast<rhz::RebuildMode>(p.rebuild)
                 : spec.redop == RedOp::avg       ? rhz::RebuildMode::kKeep
                                                  : rhz::RebuildMode::kStrict;
  if (p.count_elems > rhz::kMaxCount)
    return Status(Code::kArgument, "count_elems " + std::to_string(p.count_elems) +
                                       " is over the limit of 2^40 elements");
  spec.count = p.count_elems;
  spec.recv = static_cast<std::byte*>(p.recv);
  spec.send = p.send ? static_cast<const std::byte*>(p.send) : spec.recv;
  spec.timeout = rhz::milliseconds(p.timeout_ms);
  return check_buffers(spec, spec.count * rhz::reduce::size_of(spec.dtype));
}

rhz_status submit_plain(rhz_comm* comm, const OpSpec& spec, rhz_op** out_op) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    return submit(std::move(driver).value(), spec, out_op);
  });
}

}  // namespace

extern "C" {

RHZ_API rhz_status rhz_allreduce(rhz_comm* comm, const rhz_allreduce_params* params,
                                 rhz_op** out_op) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    rhz_allreduce_params known{};
    if (Status s = rhz::api::read_struct(params, "rhz_allreduce_params", known); !s) return s;
    OpSpec spec;
    if (Status s = to_spec(known, spec); !s) return s;
    return submit(std::move(driver).value(), spec, out_op);
  });
}

RHZ_API rhz_status rhz_barrier(rhz_comm* comm, rhz_op** out_op) {
  OpSpec spec;
  spec.kind = OpKind::kBarrier;
  return submit_plain(comm, spec, out_op);
}

RHZ_API rhz_status rhz_admit(rhz_comm* comm, rhz_op** out_op) {
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
