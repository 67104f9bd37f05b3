#include "api/src/submit.h"

#include <cstring>

#include "api/src/device_use.h"
#include "api/src/group.h"

namespace rhz::api {
namespace {

// What depends on the communicator, or needs memory of the handle.
Status complete(OpSpec& spec, rhz_op& op) {
  if (spec.timeout == Duration::zero()) spec.timeout = op.driver().op_timeout();
  if (spec.kind == OpKind::kAllReduce) spec.algorithm = op.driver().algorithm();
  if (spec.kind != OpKind::kVerify) return Status::ok();
  const auto digest = op.driver().digest();
  if (!digest) return digest.status();
  std::memcpy(op.verify_send.data(), digest.value().data(), sizeof(Digest));
  op.verify_send[2] = ~op.verify_send[0];
  op.verify_send[3] = ~op.verify_send[1];
  spec.send = reinterpret_cast<const std::byte*>(op.verify_send.data());
  spec.recv = reinterpret_cast<std::byte*>(op.verify_recv.data());
  return Status::ok();
}

Status complete(MessageSpec& spec, rhz_op& op) {
  if (spec.timeout == Duration::zero()) spec.timeout = op.driver().op_timeout();
  return Status::ok();
}

bool concerns_device(PeerDriver& driver, const AnySpec& spec, const void* stream) {
  const auto [send, recv] = buffers_of(spec);
  return stream || driver.is_on_device(send) || driver.is_on_device(recv);
}

}  // namespace

Status submit(const Comm& comm, AnySpec spec, void* stream, rhz_op** out_op) {
  if (!out_op) return Status(Code::kArgument, "out_op is NULL");
  *out_op = nullptr;
  const bool on_device = concerns_device(*comm.driver, spec, stream);
  struct Discard {
    void operator()(rhz_op* op) const { op->discard(); }
  };
  std::unique_ptr<rhz_op, Discard> op(new rhz_op(comm.driver, comm.group));
  Status status = std::visit([&](auto& known) { return complete(known, *op); }, spec);
  if (status)
    status = in_group()  ? keep_in_group({op.get(), std::move(spec), stream, on_device})
             : on_device ? op->submit_on_device(std::move(spec), stream)
                         : op->submit(spec);
  if (status) *out_op = op.release();
  return status;
}

}  // namespace rhz::api
