// rhizome_cuda.h.
#include "api/src/device_front.h"
#include "api/src/guard.h"
#include "api/src/handles.h"
#include "rhizome/rhizome_cuda.h"

namespace {

using rhz::Code;
using rhz::Status;
using rhz::api::DeviceFront;
using rhz::api::WindowCard;

Status last_status(rhz_status status) {
  return status == RHZ_OK ? Status::ok() : Status(static_cast<Code>(status), rhz_last_error());
}

Status finish(rhz_status submitted, rhz_op* op) {
  if (submitted != RHZ_OK) return last_status(submitted);
  Status status = last_status(rhz_op_wait(op, 0, RHZ_WAIT_DEFAULT));
  if (const rhz_status released = rhz_op_release(op); status && released != RHZ_OK)
    status = last_status(released);
  return status;
}

Status exchange(rhz_comm* comm, const WindowCard& own, uint32_t timeout_ms,
                std::vector<WindowCard>& all) {
  rhz_collective_params p{};
  p.struct_size = sizeof p;
  p.send = &own;
  p.recv = all.data();
  p.count_elems = sizeof own;
  p.dtype = RHZ_DTYPE_U8;
  p.world_size = static_cast<uint32_t>(all.size());
  p.timeout_ms = timeout_ms;
  rhz_op* op = nullptr;
  const rhz_status submitted = rhz_allgather(comm, &p, &op);
  return finish(submitted, op);
}

// Whether it went well everywhere.
Status agree(rhz_comm* comm, bool& well, uint32_t timeout_ms) {
  uint32_t word = well ? 1 : 0;
  rhz_allreduce_params p{};
  p.struct_size = sizeof p;
  p.recv = &word;
  p.count_elems = 1;
  p.dtype = RHZ_DTYPE_U32;
  p.redop = RHZ_REDOP_MIN;
  p.timeout_ms = timeout_ms;
  rhz_op* op = nullptr;
  const rhz_status submitted = rhz_allreduce(comm, &p, &op);
  Status status = finish(submitted, op);
  well = word == 1;
  return status;
}

Status register_window(rhz_comm* comm, void* memory, uint64_t bytes, uint32_t timeout_ms) {
  const auto group = rhz::api::find_group(comm);
  if (!group) return group.status();
  if (!memory || bytes == 0) return {Code::kArgument, "memory is NULL, or bytes is 0"};
  const auto now = group.value().driver->membership(group.value().group);
  if (!now.joined) return {Code::kState, "not a member yet: call rhz_comm_join first"};
  DeviceFront& device = group.value().driver->device();
  Status why_not;
  const WindowCard own = device.begin_window(group.value().group, memory, bytes, why_not);
  std::vector<WindowCard> all(now.view.size());
  Status status = exchange(comm, own, timeout_ms, all);
  if (status && why_not) why_not = device.map_window(group.value().group, all);
  bool well = why_not.is_ok();
  if (status) status = agree(comm, well, timeout_ms);
  device.end_window(status && well);
  if (!status || well) return status;
  return {Code::kState, "the memory cannot be registered: " +
                            (why_not ? std::string("another rank says so") : why_not.text())};
}

}  // namespace

extern "C" {

RHZ_API rhz_status rhz_cuda_available(void) {
  return rhz::api::guard([] { return rhz::open_device().why_not; });
}

RHZ_API rhz_status rhz_cuda_alloc(rhz_comm* comm, uint64_t bytes, void** out_memory) {
  return rhz::api::guard([&]() -> Status {
    if (!out_memory) return Status(Code::kArgument, "out_memory is NULL");
    *out_memory = nullptr;
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    auto memory = driver.value()->allocate_on_device(bytes);
    if (memory) *out_memory = memory.value();
    return memory.status();
  });
}

RHZ_API rhz_status rhz_cuda_register(rhz_comm* comm, void* memory, uint64_t bytes,
                                     uint32_t timeout_ms) {
  return rhz::api::guard([&] { return register_window(comm, memory, bytes, timeout_ms); });
}
}
