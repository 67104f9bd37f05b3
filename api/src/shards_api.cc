// rhizome_state.h, "shards with parity".
#include <algorithm>

#include "api/src/abi.h"
#include "api/src/handles.h"

namespace {

using rhz::Code;
using rhz::Status;
using rhz::api::guard;

Status stage_number(uint32_t stage) {
  if (stage < rhz::kMaxStages) return Status::ok();
  return {Code::kArgument, "stage " + std::to_string(stage) + ": there are at most " +
                               std::to_string(rhz::kMaxStages) + ", from 0"};
}

}  // namespace

extern "C" {

RHZ_API rhz_status rhz_protect(rhz_comm* comm, const rhz_protect_params* params) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    rhz_protect_params known{};
    if (Status s = rhz::api::read_struct(params, "rhz_protect_params", known); !s) return s;
    if (Status s = stage_number(known.stage); !s) return s;
    const uint32_t stride = std::max(known.slot_stride, 1u);
    return driver.value()->protect(known.stage, known.revision,
                                   {known.first_slot, known.slot_count, stride}, known.data_shards,
                                   known.parity_shards);
  });
}

RHZ_API rhz_status rhz_protect_fence(rhz_comm* comm, uint32_t timeout_ms) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    return driver ? driver.value()->shards().wait(rhz::milliseconds(timeout_ms)) : driver.status();
  });
}

RHZ_API rhz_status rhz_generation(rhz_comm* comm, uint32_t stage, rhz_generation_info* out_info) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    if (Status s = stage_number(stage); !s) return s;
    rhz_generation_info info{};
    if (Status s = rhz::api::write_struct(info, "rhz_generation_info", out_info); !s) return s;
    const auto known = driver.value()->shards().known(stage);
    if (!known)
      return {Code::kStateLost, "no revision of stage " + std::to_string(stage) + " is protected"};
    const rhz::GenerationRecord& record = known->record;
    info.revision = record.revision;
    info.bytes = record.state_bytes;
    info.placement = record.placement;
    info.data_shards = record.data_shards;
    info.parity_shards = record.parity_shards;
    info.lost = known->standing.lost;
    info.stands = known->standing.recoverable ? known->standing.hosts : 0;
    info.revision_before = known->before;
    info.lost_before = known->standing_before.lost;
    return rhz::api::write_struct(info, "rhz_generation_info", out_info);
  });
}

RHZ_API rhz_status rhz_restore_shards(rhz_comm* comm, const rhz_restore_shards_params* params,
                                      rhz_restore_info* out_info) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    rhz_restore_shards_params known{};
    if (Status s = rhz::api::read_struct(params, "rhz_restore_shards_params", known); !s) return s;
    if (Status s = stage_number(known.stage); !s) return s;
    if (known.flags > RHZ_RESTORE_UNCHECKED)
      return Status(Code::kArgument, "rhz_restore_shards_params.flags has unknown flags");
    rhz_restore_info info{};
    if (out_info)
      if (Status s = rhz::api::write_struct(info, "rhz_restore_info", out_info); !s) return s;
    auto restored = driver.value()->restore_shards(known.stage, known.revision,
                                                   known.flags == RHZ_RESTORE_UNCHECKED);
    if (!restored) return restored.status();
    info.revision = restored.value().record.revision;
    info.bytes = restored.value().snapshot.info.data_bytes;
    info.parts = 1;
    return out_info ? rhz::api::write_struct(info, "rhz_restore_info", out_info) : Status::ok();
  });
}
}
