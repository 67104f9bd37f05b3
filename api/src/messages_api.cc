// rhizome.h, section "send and receive": checks, and translation to a MessageSpec.
#include "api/src/abi.h"
#include "api/src/collective_params.h"
#include "api/src/handles.h"
#include "api/src/submit.h"

namespace {

using rhz::Code;
using rhz::MessageSpec;
using rhz::Status;
using rhz::api::kMostSlots;

Status to_spec(const rhz_message_params& p, bool sends, MessageSpec& spec) {
  const void* buffer = sends ? p.send : p.recv;
  if (!buffer && p.bytes > 0)
    return Status(Code::kArgument,
                  std::string(sends ? "send" : "recv") + " is NULL, and bytes is not 0");
  if (p.bytes > rhz::kMaxMessageBytes)
    return Status(Code::kArgument,
                  "bytes " + std::to_string(p.bytes) + " is over the limit of 2^40");
  if (reinterpret_cast<uintptr_t>(buffer) > UINTPTR_MAX - p.bytes)
    return Status(Code::kArgument, "bytes reaches past the end of the address space");
  if (p.peer_slot >= kMostSlots)
    return Status(Code::kArgument, "peer_slot " + std::to_string(p.peer_slot) + " is no slot");
  spec.sends = sends;
  spec.peer = rhz::Slot(p.peer_slot);
  spec.channel.tag = p.tag;
  spec.send = static_cast<const std::byte*>(p.send);
  spec.recv = static_cast<std::byte*>(p.recv);
  spec.bytes = p.bytes;
  spec.timeout = rhz::milliseconds(p.timeout_ms);
  return Status::ok();
}

rhz_status submit_message(bool sends, rhz_comm* comm, const rhz_message_params* params,
                          rhz_op** out_op) {
  return rhz::api::guard([&]() -> Status {
    const auto known_comm = rhz::api::find_group(comm);
    if (!known_comm) return known_comm.status();
    rhz_message_params known{};
    if (Status s = rhz::api::read_struct(params, "rhz_message_params", known); !s) return s;
    MessageSpec spec;
    if (Status s = to_spec(known, sends, spec); !s) return s;
    return rhz::api::submit(known_comm.value(), spec, known.stream, out_op);
  });
}

}  // namespace

extern "C" {

RHZ_API rhz_status rhz_send(rhz_comm* comm, const rhz_message_params* params, rhz_op** out_op) {
  return submit_message(true, comm, params, out_op);
}
RHZ_API rhz_status rhz_recv(rhz_comm* comm, const rhz_message_params* params, rhz_op** out_op) {
  return submit_message(false, comm, params, out_op);
}
}
