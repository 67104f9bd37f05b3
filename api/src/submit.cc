#include "api/src/submit.h"

#include <cstring>

#include "api/src/group.h"

namespace rhz::api {
namespace {

// What depends on the communicator, or needs memory of the handle.
void complete(OpSpec& spec, rhz_op& op) {
  if (spec.timeout == Duration::zero()) spec.timeout = op.driver().op_timeout();
  if (spec.kind == OpKind::kAllReduce) spec.algorithm = op.driver().algorithm();
  if (spec.kind != OpKind::kVerify) return;
  const Digest digest = op.driver().digest();
  std::memcpy(op.verify_send.data(), digest.data(), digest.size());
  op.verify_send[2] = ~op.verify_send[0];
  op.verify_send[3] = ~op.verify_send[1];
  spec.send = reinterpret_cast<const std::byte*>(op.verify_send.data());
  spec.recv = reinterpret_cast<std::byte*>(op.verify_recv.data());
}

void complete(MessageSpec& spec, rhz_op& op) {
  if (spec.timeout == Duration::zero()) spec.timeout = op.driver().op_timeout();
}

}  // namespace

Status submit(const Comm& comm, AnySpec spec, rhz_op** out_op) {
  if (!out_op) return Status(Code::kArgument, "out_op is NULL");
  *out_op = nullptr;
  auto* op = new rhz_op(comm.driver, comm.group);
  std::visit([&](auto& known) { complete(known, *op); }, spec);
  const Status status = in_group() ? keep_in_group(op, std::move(spec)) : op->submit(spec);
  if (!status) {
    op->discard();
    return status;
  }
  *out_op = op;
  return Status::ok();
}

}  // namespace rhz::api
