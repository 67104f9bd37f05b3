// rhizome.h, "stages of a pipeline".
#include <algorithm>

#include "api/src/guard.h"
#include "recovery/average/stage_order.h"

namespace {
using rhz::Code;
using rhz::Status;
using rhz::api::guard;
}  // namespace

extern "C" {

RHZ_API rhz_status rhz_stage_order(uint64_t micro_batch, uint32_t stages, uint32_t* out_order) {
  return guard([&]() -> Status {
    if (!out_order) return Status(Code::kArgument, "out_order is NULL");
    const auto order = rhz::recovery::stage_order(micro_batch, stages);
    if (!order) return order.status();
    std::copy(order.value().begin(), order.value().end(), out_order);
    return Status::ok();
  });
}
}
