// rhizome.h, rhz_comm_split.
#include "api/src/abi.h"
#include "api/src/handles.h"

namespace {
using rhz::Code;
using rhz::Status;
using rhz::api::guard;
}  // namespace

extern "C" {

RHZ_API rhz_status rhz_comm_split(rhz_comm* comm, const rhz_split_params* params,
                                  rhz_comm** out_comm) {
  return guard([&]() -> Status {
    if (!out_comm) return Status(Code::kArgument, "out_comm is NULL");
    *out_comm = nullptr;
    auto parent = rhz::api::find_group(comm);
    if (!parent) return parent.status();
    rhz_split_params p{};
    if (Status s = rhz::api::read_struct(params, "rhz_split_params", p); !s) return s;
    if (p.colour < 0 && p.colour != RHZ_SPLIT_NONE)
      return Status(Code::kArgument, "colour " + std::to_string(p.colour) +
                                         " is neither 0 or more nor RHZ_SPLIT_NONE");
    if (p.reserved != 0) return Status(Code::kArgument, "rhz_split_params.reserved must be 0");
    const auto& [driver, group] = parent.value();
    const rhz::SplitChoice choice{p.colour == RHZ_SPLIT_NONE, static_cast<uint32_t>(p.colour),
                                  p.key};
    const rhz::Duration timeout =
        p.timeout_ms ? rhz::milliseconds(p.timeout_ms) : driver->op_timeout();
    const auto made = driver->split(group, choice, timeout);
    if (!made) return made.status();
    if (!choice.none) *out_comm = rhz::api::add_comm({driver, made.value()});
    return Status::ok();
  });
}
}
